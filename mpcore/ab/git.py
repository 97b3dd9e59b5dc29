"""git, as `ab` runs it."""

import subprocess
import sys
from pathlib import Path


class RevisionError(ValueError):
    """A base or head that cannot be had; the message names it."""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own, where the terminal's Ctrl-C does not reach it. What it prints is read as names of files are,
    for these need not be a text."""
    try:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors=sys.getfilesystemencodeerrors(),
            check=False,
            start_new_session=True,
        )
    except OSError as error:
        return subprocess.CompletedProcess(["git"], 127, "", f"git: {error.strerror}")


def is_shallow(clone: Path) -> bool:
    """Whether it holds only its last commits."""
    return git("-C", str(clone), "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def why_not(errors: str) -> str:
    """Why git has not found a commit. Where only its last ones are there, it may be mistyped or older than these."""
    if is_shallow(Path.cwd()):
        advice = "this clone is shallow: expected git fetch --unshallow, or actions/checkout with fetch-depth: 0"
        return f"{reason_of(errors)}; {advice}"
    return reason_of(errors)


def reason_of(errors: str) -> str:
    """The last thing that git says, and before it what was fatal, where it goes on with what to do."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["git says nothing"]
    fatal = [line for line in lines if line.startswith("fatal: ")]
    return ": ".join(dict.fromkeys([*fatal[:1], lines[-1]]))
