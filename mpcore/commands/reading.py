"""Reads several files, or all of a folder, some of them perhaps unreadable."""

import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mpcore.commands.output import tell
from mpcore.store import RunError, files_in

T = TypeVar("T")
UNREADABLE = "A file that cannot be read is named, and the others are used; the exit code is 4 then."


def read_all(
    paths: Sequence[Path], read: Callable[[Path], T], named: Callable[[object], str] = str
) -> tuple[list[T], list[str]]:
    """What can be read, in a folder each file of it, and why the others cannot, which is said at once, as `named` has it.

    The collector is off meanwhile: it would look again and again through a million records, which all stay to the end of the
    command. Then they are frozen, so that it does not look through them later either.
    """
    found: list[T] = []
    unreadable: list[str] = []
    gc.disable()
    try:
        for one in (one for path in paths for one in _each(path, read)):
            if isinstance(one, RunError):
                tell(named(one))
                unreadable.append(named(one))
            else:
                found.append(one)
    finally:
        gc.freeze()
        gc.enable()
    return found, unreadable


def _each(path: Path, read: Callable[[Path], T]) -> Iterator[T | RunError]:
    try:
        files = files_in(path)
    except RunError as error:
        yield error
        return
    for file in files:
        try:
            yield read(file)
        except RunError as error:
            yield error
