"""A history that lies elsewhere, under any URL that fsspec knows: s3://bucket/history. A copy of it is read and added to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mpcore.store import RunError


@dataclass(frozen=True)
class Place:
    """A folder of histories. path: the folder, or a copy of it. url: what it is a copy of."""

    path: Path
    url: str | None = None

    def named(self, text: object) -> str:
        """What `text` says of the copy, said of the place itself."""
        return str(text) if self.url is None else str(text).replace(str(self.path), self.url.rstrip("/"))

    def take(self, files: Sequence[Path]) -> None:
        """Those that were added to a copy. Raises RunError."""
        if self.url is None or not files:
            return
        with _reraised(self.url):
            system, root = _system(self.url)
            there = [f"{root}/{file.relative_to(self.path).as_posix()}" for file in files]
            for folder in {file.rpartition("/")[0] for file in there}:
                system.makedirs(folder, exist_ok=True)
            system.put([str(file) for file in files], there)


@contextmanager
def places(folders: Sequence[str]) -> Iterator[list[Place]]:
    """Within it there is a copy of each that is a URL. Raises RunError."""
    with TemporaryDirectory(prefix="mpcore-history-") as copies:
        yield [
            _copied(folder, Path(copies, str(number))) if "://" in folder else Place(Path(folder))
            for number, folder in enumerate(folders)
        ]


def _copied(url: str, path: Path) -> Place:
    """A history that is not there yet is empty."""
    with _reraised(url):
        system, root = _system(url)
        there = [file for file in system.find(root) if file.endswith(".json")] if system.exists(root) else []
        here = [path / file.removeprefix(root).lstrip("/") for file in there]
        for folder in {file.parent for file in here} or {path}:  # not every kind of storage makes them
            folder.mkdir(parents=True, exist_ok=True)
        if there:
            system.get(there, [str(file) for file in here])
    return Place(path, url)


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the folder in it."""
    from fsspec.core import url_to_fs

    system, root = url_to_fs(url)
    return system, str(root).rstrip("/")


@contextmanager
def _reraised(url: str) -> Iterator[None]:
    """Each kind of storage raises errors of its own."""
    try:
        yield
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise RunError(f"{url}: {type(error).__name__}: {first}") from error
