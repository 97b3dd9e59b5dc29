"""The markdown that a session writes of itself: where it is asked to, and on GitHub for the page of its job."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin.outcome import outcome_of

if TYPE_CHECKING:
    from mpcore.plugin.session import Session

JOB_PAGE = "GITHUB_STEP_SUMMARY"


def add_options(group: Any) -> None:
    group.addoption(
        "--mp-markdown",
        metavar="FILE",
        help=f"write what the session came to there, as markdown; where ${JOB_PAGE} names a file, it is added to that, too",
    )


def check_markdown(config: pytest.Config) -> None:
    """Raises UsageError for a file that cannot be written."""
    for path, asked, _ in _files(config):
        new = not path.exists()
        try:
            path.open("a").close()
        except OSError as error:
            raise pytest.UsageError(f"{asked}: cannot write {path}: {error.strerror}") from error
        if new:
            path.unlink()


def write_markdown(config: pytest.Config, session: "Session") -> None:
    from mpcore.report.pull_request import pull_request

    files = _files(config)
    text = pull_request(outcome_of(config, session)) if files else ""
    for path, asked, mode in files:
        try:
            with path.open(mode, encoding="utf-8", errors="backslashreplace") as file:
                file.write(text if mode == "w" else f"{text}\n")
        except OSError as error:  # it is too late to refuse: all has been measured
            print(f"mpcore: {asked}: cannot write {path}: {error.strerror}", file=sys.stderr)


def _files(config: pytest.Config) -> list[tuple[Path, str, str]]:
    """Each with what asks for it, and with how it is opened: other steps of a job write to its page, too."""
    found = []
    if given := config.getoption("mp_markdown"):
        found.append((config.invocation_params.dir / given, f"--mp-markdown {given!r}", "w"))
    if page := os.environ.get(JOB_PAGE):
        found.append((Path(page), f"${JOB_PAGE}", "a"))
    return found
