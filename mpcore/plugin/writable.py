"""Whether what a session will write can be written: said before anything is measured. And where it could not be in the end, as
on a disk that became full: what was measured is shown nevertheless."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

UNWRITTEN = pytest.StashKey[str]()
"""Why the results are in no file."""


class ShownWhateverHappens:
    """A plugin that stands between pytest's summary and who writes files. It is to be registered as pytest is configured: after
    those of other distributions, before the terminal's reporter."""

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        try:
            return (yield)
        except OSError as error:
            session.config.stash[UNWRITTEN] = f"the results could not be written: {error.strerror}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return None


def check_file(path: Path, asked: str) -> None:
    """Leaves it as it is. asked: what asks for it. Raises UsageError."""
    new = not path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        raise _unwritable(path, asked, error) from error
    if new:
        path.unlink()


def check_folder(path: Path, asked: str) -> None:
    """That there is to be, with those above it. Leaves nothing in it. asked: what asks for it. Raises UsageError."""
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise _unwritable(path, asked, error) from error


def _unwritable(path: Path, asked: str, error: OSError) -> pytest.UsageError:
    return pytest.UsageError(f"{asked}: cannot write {path}: {error.strerror}")
