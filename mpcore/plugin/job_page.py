"""The markdown that a session writes of itself: where it is asked to, and on GitHub for the page of its job."""

import os
import sys
from pathlib import Path

import pytest

from mpcore.plugin.options import JOB_PAGE
from mpcore.plugin.writable import check_file


def check_files(config: pytest.Config) -> None:
    """Raises UsageError for a file that cannot be written."""
    for path, asked, _ in _files(config):
        check_file(path, asked)


def wanted(config: pytest.Config) -> bool:
    return bool(_files(config))


def write(config: pytest.Config, text: str) -> None:
    for path, asked, mode in _files(config):
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
