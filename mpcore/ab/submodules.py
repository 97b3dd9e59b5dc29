"""Submodules, which git leaves empty in a worktree: they are had from the clones of them that the repository holds. A commit
that these lack, as shallow ones do, comes from where they come from."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from mpcore.ab.git import RevisionError, git, is_shallow, reason_of

GITLINK = "160000"
"""git's mode of a submodule's place."""


def add_submodules(repository: Path, tree: Path) -> None:
    """Fills in `tree`, a worktree of `repository`, those that are there in the latter, each at the commit that the tree names.
    Raises RevisionError where one is not to be had."""
    for path, commit in _submodules(tree):
        clone, place = repository / path, tree / path
        if not (clone / ".git").exists():
            continue
        added = _added(clone, place, commit)
        if added.returncode != 0 and _fetched(clone, commit):
            added = _added(clone, place, commit)
        if added.returncode != 0:
            raise RevisionError(
                f"the submodule {path} is not to be had at {commit[:12]} ({reason_of(added.stderr)}): "
                f"expected git -C {path} fetch, and that commit in it"
            )
        add_submodules(clone, place)


def _added(clone: Path, place: Path, commit: str) -> subprocess.CompletedProcess[str]:
    return git("-C", str(clone), "worktree", "add", "--detach", str(place), commit)


def _fetched(clone: Path, commit: str) -> bool:
    """A depth would make a whole clone shallow."""
    depth = ["--depth=1"] if is_shallow(clone) else []
    return git("-C", str(clone), "fetch", *depth, "origin", commit).returncode == 0


def forget_submodules(repository: Path) -> None:
    """Takes out of their clones what is known of worktrees that are gone."""
    for path, _ in _submodules(repository):
        if (repository / path / ".git").exists():
            git("-C", str(repository / path), "worktree", "prune")
            forget_submodules(repository / path)


def _submodules(tree: Path) -> Iterator[tuple[str, str]]:
    """Path and commit of each."""
    for line in git("-C", str(tree), "ls-files", "--stage", "-z").stdout.split("\0"):
        described, _, path = line.partition("\t")
        mode, _, rest = described.partition(" ")
        if mode == GITLINK:
            yield path, rest.split()[0]
