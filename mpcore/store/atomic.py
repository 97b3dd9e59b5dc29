"""Files that are there whole or not at all, and one writer at a time."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mpcore.store.error import RunError
from mpcore.system import on_windows

STREAMS = ("/dev/std", "/dev/fd/", "/proc/self/fd/")
"""How paths begin of what a process has open."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Waits until no other process holds `folder`, which is made where there is none. Raises RunError."""
    if reason := on_windows():
        raise RunError(reason)
    import fcntl  # here, because Windows has none, and reads like others

    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)  # which unlocks it, as the end of the process does
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise RunError(f"cannot write {folder}: {error.strerror}") from error
        yield


def write(contents: Mapping[Path, str]) -> None:
    """All of them are on the disk before the first has its name. A link stays, and what is no file, such as a pipe, is written
    to. Where others may write the same files, to be called with the folder locked. Raises RunError."""
    files = {path.resolve(): text for path, text in contents.items() if not _is_stream(path)}
    drafts = {path: path.with_name(f".{path.name}.tmp") for path in files}
    try:
        for path, draft in drafts.items():
            path.parent.mkdir(exist_ok=True)
            with draft.open("w", encoding="utf-8", errors="replace") as file:
                file.write(files[path])
                file.flush()
                os.fsync(file.fileno())
        for path, draft in drafts.items():
            draft.replace(path)
        for folder in {folder for path in files for folder in (path.parent, path.parent.parent)}:
            _synchronise(folder)
        for path in contents:
            if _is_stream(path):
                path.write_text(contents[path], encoding="utf-8", errors="replace")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    finally:
        for draft in drafts.values():
            with suppress(OSError):  # the first error is the one to tell
                draft.unlink()


def check_writable(path: Path) -> None:
    """To be called before what takes long and is written to `path` in the end. It leaves nothing, and several processes may ask
    at once. Raises RunError."""
    if path.is_dir():
        raise RunError(f"cannot write {path}: it is a folder")
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise RunError(f"cannot write {path}: permission denied")
        return
    try:
        tempfile.TemporaryFile(dir=path.resolve().parent).close()
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def sweep(folder: Path) -> None:
    """Removes drafts that a killed process left. To be called with the folder locked, so that none is being written."""
    for draft in folder.glob(".*.json.tmp"):
        with suppress(OSError):  # it harms nobody
            draft.unlink()


def remove(paths: Iterable[Path]) -> None:
    """Raises RunError."""
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise RunError(f"cannot remove {path}: {error.strerror}") from error


def _is_stream(path: Path) -> bool:
    """Whether it is there and is no file, or is one that this process has open."""
    return str(path).startswith(STREAMS) or (path.exists() and not path.is_file())


def _synchronise(folder: Path) -> None:
    """A name is on the disk once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
