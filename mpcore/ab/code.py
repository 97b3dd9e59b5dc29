"""Whether base and head run the code that they are said to run, and whether it is the same."""

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from mpcore.ab.packages import is_own, packages_of
from mpcore.ab.revisions import Checkout, repository
from mpcore.records import Case, Comparison, Loaded, LoadedFile, PairedCase, Regression, Revision, Selection
from mpcore.report.text import counted
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError

SOURCES = {".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h", ".hpp", ".hip", ".pyx", ".pxd", ".rs"}
"""What shared objects are built from."""
SAME = "nothing that was imported differs"
KIND = "code"
"""Of a regression of a case that was not timed."""


class Loads(Protocol):
    """What a Runner does once it has measured."""

    def loaded(self) -> Loaded | None: ...


def loaded_after(process: Loads) -> Loaded | None:
    """The code of a process that has measured. None of one that does not say: what it has measured counts all the same."""
    try:
        return process.loaded()
    except RunnerError:
        return None


def check_code(checkouts: tuple[Checkout, Checkout], loaded: tuple[Loaded | None, Loaded | None]) -> None:
    """Raises SelectionError where code that differs between the two was loaded from one place, or of one wheel, on both sides.
    Two containers may have another file in one place."""
    base, head = checkouts
    before, after = loaded
    if base.tree == head.tree or before is None or after is None:
        return
    shared = itertools.chain(_shared_files(checkouts, before, after), _shared_wheels(base.tree, head.tree, before, after))
    if found := next(shared, None):
        said, differs = found
        raise SelectionError(
            f"base ({base.name}) and head ({head.name}) {said}, though {differs} differs between them: "
            "expected each to load its own. --base-python names another environment for base, and --prepare builds each"
        )


def _shared_files(checkouts: tuple[Checkout, Checkout], before: Loaded, after: Loaded) -> Iterator[tuple[str, Path]]:
    """What both have loaded from one place, and modules that they may load yet of packages there, each with the file that
    differs between the trees."""
    base, head = checkouts
    source = functools.cache(partial(_first_that_differs, base.tree, head.tree, SOURCES))
    loaded = _shared(checkouts, before.files, after.files)
    found = map(Path, {*before.importable} & {*after.importable})
    packages = {place.parent for place in (*loaded, *found) if place.name == "__init__.py"}
    later = _shared(checkouts, (*before.files, *before.reachable), (*after.files, *after.reachable))
    modules = [place for place in later if place.suffix == ".py" and not packages.isdisjoint(place.parents)]
    for said, places in (("have both loaded", loaded), ("may both load", modules)):
        for place in places:
            for relative in _relatives(place, head.tree, base.tree):
                _check_root(checkouts, relative, place)
                if differs := _differs(base.tree, head.tree, relative, source):
                    yield f"{said} {place}", differs


def _shared(checkouts: tuple[Checkout, Checkout], before: Sequence[LoadedFile], after: Sequence[LoadedFile]) -> list[Path]:
    """Places in which both have the same file."""
    here, there = (dict(_places(*of)) for of in zip(checkouts, (before, after), strict=True))
    return sorted(place for place in here.keys() & there.keys() if here[place].sha256 == there[place].sha256)


def _check_root(checkouts: tuple[Checkout, Checkout], relative: Path, place: Path) -> None:
    package = Path(relative.parts[0], "__init__.py")
    without = [checkout for checkout in checkouts if not (checkout.tree / package).is_file()]
    if len(without) == 1:
        raise SelectionError(f"{without[0].tree} holds no {package}, and {place} was loaded: expected the root of a tree")


def _shared_wheels(base: Path, head: Path, before: Loaded, after: Loaded) -> Iterator[tuple[str, Path]]:
    """Wheels that both have loaded, each with a file that differs of a package that it holds as well as the trees."""
    for name, wheel in sorted(before.packages.items() & after.packages.items()):
        if before.wheels[wheel] != after.wheels[wheel]:
            continue
        parts = Path(name).parts
        for package in sorted(each for each in packages_of(base) | packages_of(head) if each.parts[-len(parts) :] == parts):
            if differs := _first_that_differs(base, head, {".py", *SOURCES}, package):
                yield f"have both loaded the wheel {wheel} {before.wheels[wheel].split()[0]}", differs


def check_environments(base: Checkout, head: Checkout, loaded: Loaded | None) -> None:
    """To be called where base and head run the same code. Raises SelectionError for two Pythons of one tree: these were to
    differ, and do not."""
    if base.tree != head.tree or base.python == head.python:
        return
    files = loaded.files if loaded else ()
    own = sorted(_places(head, files), key=lambda found: found[1].place is not None)  # first those of the tree
    both = f"{own[0][0]}, and the same packages" if own else "the same packages"
    loaders = f"base ({base.python}) and head ({head.python})"
    raise SelectionError(f"{loaders} have both loaded {both}: expected two trees, or environments that differ")


def unchanged(base: Revision, head: Revision) -> bool:
    """Whether neither has loaded, nor may load, anything that the other has otherwise. False where one does not say."""
    if base.loaded is None or head.loaded is None or (base.slowdown, base.command) != (head.slowdown, head.command):
        return False
    return base.machine.software == head.machine.software and code_of(base.loaded) == code_of(head.loaded)


def differs_for_all(base: Revision, head: Revision) -> str:
    """Why the hash of a case does not tell that its code is the same: a file that is no module differs, or what is installed.
    "" where it does."""
    if base.loaded is None or head.loaded is None:
        return "one side does not say what it has loaded"
    if base.machine.software != head.machine.software or base.loaded.wheels != head.loaded.wheels:
        return "what is installed differs"
    settings = sorted({path for path, _ in _settings(base.loaded) ^ _settings(head.loaded)})
    if not settings:
        return ""
    named = f"{settings[0]} differs" if len(settings) == 1 else f"{settings[0]} and {len(settings) - 1} more differ"
    return f"{named}, which a step may read"


def code_of(loaded: Loaded) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Paths with hashes of all that was loaded or may be, and the wheels."""
    return {(file.path, file.sha256) for file in (*loaded.files, *loaded.reachable)}, loaded.wheels


def _settings(loaded: Loaded) -> set[tuple[str, str]]:
    """What is read and not imported, by path and hash."""
    files = (*loaded.files, *loaded.reachable)
    return {(file.path, file.sha256) for file in files if Path(file.path).suffix != ".py"}


def unchanged_comparison(base: Revision, head: Revision, selection: Selection, cases: Sequence[Case]) -> Comparison:
    """Of two that run the same code: nothing is measured."""
    assert head.loaded is not None
    said = (
        f"{SAME}: {counted(len(head.loaded.files), 'file')} that were loaded, and {counted(len(head.loaded.wheels), 'wheel')}"
    )
    return Comparison(
        by="code",
        base=base,
        head=head,
        selection=selection,
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        cases=tuple(PairedCase(case=case, pairs=(), regressions=(unmeasured(case, said),)) for case in cases),
    )


def unmeasured(case: Case, said: str) -> Regression:
    """Of a case that need not be timed."""
    sentence = f"{case.id}: {said}"
    return Regression(kind=KIND, case=case.id, metric="code", status="same", value=None, limit=None, sentence=sentence)


def _places(checkout: Checkout, files: Sequence[LoadedFile]) -> Iterator[tuple[Path, LoadedFile]]:
    for file in files:
        yield Path(file.place) if file.place else (checkout.tree / file.path).resolve(), file


def _relatives(place: Path, head: Path, base: Path) -> list[Path]:
    """Paths within a tree. A file that lies elsewhere, as in an image, has those of the same file of a package in a tree, and
    may have none."""
    within = next((place.relative_to(tree) for tree in (head, base, repository()) if place.is_relative_to(tree)), None)
    if within is not None:
        return [within]
    ends = (Path(*place.parts[first:]) for first in range(1, len(place.parts) - 1))
    return next(filter(None, (_in_packages(end, (head, base)) for end in ends)), [])


def _in_packages(end: Path, trees: Sequence[Path]) -> list[Path]:
    """Where the trees have such a file, in packages of its name."""
    named = {package.parent / end for tree in trees for package in packages_of(tree) if package.name == end.parts[0]}
    return sorted(relative for relative in named if any((tree / relative).is_file() for tree in trees))


def _differs(base: Path, head: Path, relative: Path, source: Callable[[], Path | None]) -> Path | None:
    """The file that differs between two trees: this one, or a source that it may be built from. None where there is none."""
    if relative.suffix == ".py":
        return None if _content(base / relative) == _content(head / relative) else relative
    return source()


def _first_that_differs(base: Path, head: Path, suffixes: Collection[str], below: Path = Path()) -> Path | None:
    """Of the files of two trees below a folder, but for what lies in an environment or is hidden."""
    files = sorted({*_named(base, suffixes, below), *_named(head, suffixes, below)})
    return next((file for file in files if _content(base / file) != _content(head / file)), None)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _named(tree: Path, suffixes: Collection[str], below: Path) -> Iterator[Path]:
    files = itertools.chain.from_iterable((tree / below).rglob(f"*{suffix}") for suffix in suffixes)
    return filter(is_own, (file.relative_to(tree) for file in files))
