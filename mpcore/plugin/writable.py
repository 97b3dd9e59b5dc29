"""Whether what a session will write can be written: said before anything is measured."""

import tempfile
from pathlib import Path

import pytest

UNWRITTEN = pytest.StashKey[str]()
"""Why the results are in no file."""


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
