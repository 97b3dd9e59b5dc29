"""Whether base and head run the code that they are said to run, and whether it is the same."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

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
    """Raises SelectionError where a file that differs between the two was loaded from one place on both sides. Two containers
    may have another file in one place."""
    base, head = checkouts
    before, after = (dict(_places(each, of)) for each, of in zip(checkouts, loaded, strict=True))
    if base.tree == head.tree:
        return
    source = functools.cache(partial(_differing_source, base.tree, head.tree))
    for place in sorted(place for place in before.keys() & after.keys() if before[place].sha256 == after[place].sha256):
        relative = _relative(place, head.tree, base.tree)
        if relative is None:
            continue
        package = Path(relative.parts[0], "__init__.py")
        without = [checkout for checkout in (base, head) if not (checkout.tree / package).is_file()]
        if len(without) == 1:
            raise SelectionError(f"{without[0].tree} holds no {package}, and {place} was loaded: expected the root of a tree")
        differs = _differs(base.tree, head.tree, relative, source)
        if differs:
            raise SelectionError(
                f"base ({base.name}) and head ({head.name}) have both loaded {place}, though {differs} differs between them: "
                "expected each to load its own. --base-python names another environment for base, and --prepare builds each"
            )


def check_environments(base: Checkout, head: Checkout, loaded: Loaded | None) -> None:
    """To be called where base and head run the same code. Raises SelectionError for two Pythons of one tree: these were to
    differ, and do not."""
    if base.tree != head.tree or base.python == head.python:
        return
    own = sorted(_places(head, loaded), key=lambda found: found[1].place is not None)  # first those of the tree
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


def _places(checkout: Checkout, loaded: Loaded | None) -> Iterator[tuple[Path, LoadedFile]]:
    for file in loaded.files if loaded else ():
        yield Path(file.place) if file.place else (checkout.tree / file.path).resolve(), file


def _relative(place: Path, head: Path, base: Path) -> Path | None:
    """The path within a tree. A file that lies elsewhere, as in an image, has the path of the same file of a package in a tree;
    None where there is none."""
    within = next((place.relative_to(tree) for tree in (head, base, repository()) if place.is_relative_to(tree)), None)
    if within is not None:
        return within
    ends = (Path(*place.parts[first:]) for first in range(1, len(place.parts) - 1))
    found = (Path(root, end) for end in ends for root in ("", "src") if _in_package(root, end, (head, base)))
    return next(found, None)


def _in_package(root: str, end: Path, trees: Sequence[Path]) -> bool:
    """Whether one of the trees has such a file, in a package below this root."""
    return any((tree / root / end).is_file() and (tree / root / end.parts[0] / "__init__.py").is_file() for tree in trees)


def _differs(base: Path, head: Path, relative: Path, source: Callable[[], Path | None]) -> Path | None:
    """The file that differs between two trees: this one, or a source that it may be built from. None where there is none."""
    if relative.suffix == ".py":
        return None if _content(base / relative) == _content(head / relative) else relative
    return source()


def _differing_source(base: Path, head: Path) -> Path | None:
    """The first that differs of all that shared objects are built from."""
    sources = sorted({*_sources(base), *_sources(head)})
    return next((source for source in sources if _content(base / source) != _content(head / source)), None)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _sources(tree: Path) -> Iterator[Path]:
    """In a tree, but for what lies in an environment or is hidden."""
    for file in itertools.chain.from_iterable(tree.rglob(f"*{suffix}") for suffix in SOURCES):
        relative = file.relative_to(tree)
        if "site-packages" not in relative.parts and not any(part.startswith(".") for part in relative.parts):
            yield relative
