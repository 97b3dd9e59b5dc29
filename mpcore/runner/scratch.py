"""Temporary folders that are told from abandoned ones: a process that was killed removes nothing.

Each is locked by the process that made it, for as long as that lives. A process id would not do: containers that share a
folder number their processes apart.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

LOCK = ".mpcore-lock"


class Scratch:
    """A folder. It is removed by `close`, or, where its process was killed, as soon as another of the same prefix is made."""

    def __init__(self, prefix: str) -> None:
        import fcntl  # here, because Windows has none

        for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            if abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        draft = self.path / f"{LOCK}.tmp"
        self._lock = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks: nobody will take the folder for abandoned
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            draft.rename(self.path / LOCK)  # which is locked before it has its name

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def abandoned(folder: Path) -> bool:
    """Whether it is one whose process is gone. False of a folder that is none, or another user's."""
    import fcntl

    with contextlib.suppress(OSError):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(handle)
    return False
