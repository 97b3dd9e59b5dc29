"""The code that a process runs."""

from typing import Literal

from mpcore.records.base import Record


class LoadedFile(Record):
    """path: from the top of the tree that the process runs in; of a file elsewhere, the whole of it. place: where it lies on
    disk, links followed, where that is not in the tree."""

    path: str
    sha256: str
    place: str | None = None


class Loaded(Record):
    """files: modules and shared objects that were loaded, and belong neither to Python, nor to the system, nor to a wheel.
    reachable: files that they may load yet: the rest of their packages, and what they import when it is needed. wheels: what
    is installed beside them, torch too, by name: version, and a hash of its files. packages: those that were loaded of wheels,
    by path: the name of the wheel. importable: where Python finds what these files name in imports, wheels left out.
    kernels: Triton's keys of those that were compiled, and hashes of the modules in a compiler's cache."""

    kind: Literal["loaded"] = "loaded"
    files: tuple[LoadedFile, ...]
    reachable: tuple[LoadedFile, ...] = ()
    wheels: dict[str, str] = {}
    packages: dict[str, str] = {}
    importable: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
