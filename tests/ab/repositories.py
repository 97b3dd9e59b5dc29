"""Repositories whose processes are stubs."""

import subprocess


def git(repository, *arguments):
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def left_behind(repository):
    """Worktrees that git knows, and folders made for them."""
    return [*git(repository, "worktree", "list").splitlines()[1:], *repository.parent.glob("mpcore-ab-*")]
