"""Reads several files, some of them perhaps unreadable."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mpcore.commands.output import tell
from mpcore.store import RunError

T = TypeVar("T")
UNREADABLE = "A file that cannot be read is named, and the others are used; the exit code is 4 then."


def read_all(paths: Sequence[Path], read: Callable[[Path], T]) -> tuple[list[T], list[str]]:
    """What can be read, and why the other files cannot, which is said at once.

    The collector is off meanwhile: it would look again and again through a million records, which all stay to the end of the
    command. Then they are frozen, so that it does not look through them later either.
    """
    found, unreadable = [], []
    gc.disable()
    try:
        for path in paths:
            try:
                found.append(read(path))
            except RunError as error:
                tell(str(error))
                unreadable.append(str(error))
    finally:
        gc.freeze()
        gc.enable()
    return found, unreadable
