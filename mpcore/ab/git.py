"""git, as `ab` runs it."""

import subprocess


class RevisionError(ValueError):
    """A base or head that cannot be had; the message names it."""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own, where the terminal's Ctrl-C does not reach it."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, start_new_session=True)
    except OSError as error:
        return subprocess.CompletedProcess(["git"], 127, "", f"git: {error.strerror}")


def why_not(errors: str) -> str:
    """Why git has not found a commit. A clone that holds only its last ones says no more of others than that."""
    if git("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        return "this clone is shallow: expected git fetch --unshallow, or actions/checkout with fetch-depth: 0"
    return last_line(errors)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["git says nothing"])[-1]
