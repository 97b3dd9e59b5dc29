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
    return reason_of(errors)


def reason_of(errors: str) -> str:
    """The last thing that git says, and before it what was fatal, where it goes on with what to do."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["git says nothing"]
    fatal = [line for line in lines if line.startswith("fatal: ")]
    return ": ".join(dict.fromkeys([*fatal[:1], lines[-1]]))
