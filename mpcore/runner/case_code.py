"""Which of the files that were loaded are those of one case: importing the workloads loads them all, and one of them that is
changed changes no other.

What only other workloads, modes, trainers and strategies than those of the case import is left out. Which module imports which
is read from their source. That a module changes another as it is imported is not seen: what a step does is compared besides.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mpcore.device import agreement
from mpcore.records import Case
from mpcore.runner.loaded import loaded

Graph = Mapping[str, set[str]]
"""By the name of a module, those that it imports."""


def code_of_case(case: Case, tree: Path) -> str:
    """A hash of its files, by their paths and without comments, and of the kernels that were compiled for it or before. The
    process runs in `tree` and has taken a step of the case. Of ranks that have loaded different code, a hash each. To be asked
    on all."""
    return " ".join(dict.fromkeys(agreement.gathered(_code_of_case(case, tree))))


def _code_of_case(case: Case, tree: Path) -> str:
    """On this rank."""
    found = loaded(tree, later=False)
    places = {file.path: file for file in found.files}
    left_out = {_path(sys.modules[name], tree) for name in _of_others(case)}
    lines = [f"{path} {_hash(tree / path, file.sha256)}" for path, file in sorted(places.items()) if path not in left_out]
    return hashlib.sha256("\n".join([*lines, *found.kernels]).encode()).hexdigest()


@functools.cache
def _hash(place: Path, sha256: str) -> str:
    """Of what a module says without its layout and its comments, but for those that TorchScript takes types from. Of another
    file, its own."""
    if place.suffix != ".py":
        return sha256
    try:
        return hashlib.sha256(
            ast.dump(ast.parse(place.read_bytes(), type_comments=True)).encode(errors="surrogatepass")
        ).hexdigest()
    except (SyntaxError, ValueError, OSError, RecursionError):  # which is no module, though its name is one's
        return sha256


def _of_others(case: Case) -> set[str]:
    """Modules that only other entries of the registries need."""
    own, others = _entries(case)
    graph = _imports(frozenset(name for name in sys.modules if name.partition(".")[0] in _packages(own | others)))
    registering = {name for name in graph if hasattr(sys.modules[name], "__path__") and graph[name] & others}
    blocked = others - _reached(own, graph, registering)
    candidates = _reached(blocked, graph)
    needed = _reached((set(graph) - candidates) | own, graph, blocked)
    return candidates - needed


def _entries(case: Case) -> tuple[set[str], set[str]]:
    """Modules of the case's workload, mode, trainer and strategy, and of all others that are registered."""
    from mpcore.registry import precisions, strategies, trainers, workloads

    own: set[str] = set()
    others: set[str] = set()
    named = {workloads: case.workload, precisions: case.precision, trainers: case.trainer, strategies: case.strategy}
    for registry, name in named.items():
        for each in registry.names():
            modules = {cls.__module__ for cls in registry[each].__mro__ if cls.__module__ in sys.modules}
            own.update(modules if each == name else ())
            others.add(registry[each].__module__)
    return own, others - own


def _packages(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@functools.cache
def _imports(names: frozenset[str]) -> Graph:
    return {name: set(_imported(sys.modules[name])) & names for name in names}


def _imported(module: ModuleType) -> Iterator[str]:
    """The modules that it names in an import, at whatever place; of a name that a package hands on, where it comes from."""
    place = getattr(module, "__file__", None)
    if not place or Path(place).suffix != ".py":
        return
    for node in ast.walk(ast.parse(Path(place).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = _absolute(node, module)
            for alias in node.names:
                yield from _handed_on(package, alias.name)


def _absolute(node: ast.ImportFrom, module: ModuleType) -> str:
    if not node.level:
        return node.module or ""
    parts = (module.__package__ or "").split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])


def _handed_on(package: str, name: str) -> Iterator[str]:
    if f"{package}.{name}" in sys.modules:
        yield f"{package}.{name}"
        return
    value: Any = getattr(sys.modules.get(package), name, None)
    source = getattr(value, "__module__", None)
    yield source if isinstance(source, str) and source in sys.modules else package


def _reached(start: Iterable[str], graph: Graph, blocked: Iterable[str] = ()) -> set[str]:
    """From `start`, which is in it, without going into what is blocked."""
    found: set[str] = set()
    new = set(start) & set(graph)
    shut = set(blocked)
    while new:
        found |= new
        new = {each for name in new for each in graph[name]} - found - shut
    return found


def _path(module: ModuleType, tree: Path) -> str:
    place = Path(module.__file__ or "").resolve()
    return str(place.relative_to(tree)) if place.is_relative_to(tree) else str(place)
