"""The tests of a session that measure a case: what kind they are, and what each is given."""

import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mpcore import matrix
from mpcore.selection import ALL

if TYPE_CHECKING:
    from mpcore.plugin.session import Session
    from mpcore.records import Case

FIXTURES = "mpcore.plugin.fixtures"
KINDS = {
    "speed": "times a training step of every case",
    "accuracy": "trains every case to the end of its recipe",
    "numerics": "compares a step of every case with FP64",
    "work": "counts what a step of every case does",
    "parallel": "compares the ranks of a step that is spread over several GPUs",
    "race": "times a step beside those of other trainers; a kind of parity",
    "parity": "compares with other trainers; run on request, by -m parity or by its file",
}

COMPILED: "dict[str, Container[str] | None]" = {"speed": None, "work": None, "parity": None, "numerics": ("bf16-amp",)}
"""Kinds that measure some cases compiled, too, where no execution is named; in these modes, or in all that are compiled (None).
For numerics a step is compiled anew, without dropout: one mode shows what a compiler rounds otherwise. A training would end
where the same mode's ends."""


def kind_of(item: Any) -> str:
    """Of a test, by its marker; "other" where it has none of ours."""
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), "other")


def case_of(item: pytest.Item | None) -> "Case | None":
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("case") if callspec else None
    if "mpcore.records" not in sys.modules:  # which no case of ours can be without
        return None
    from mpcore.records import Case

    return value if isinstance(value, Case) else None


def is_compiled(item: pytest.Item) -> bool:
    """Whether torch compiles what it measures."""
    case = case_of(item)
    if case is None:
        return False
    from mpcore.execution import executions

    return executions[case.execution].compiles


def trainer_of(item: Any) -> str:
    """The title of the other trainer that a test of parity has for a parameter, "" where there is none."""
    if kind_of(item) != "parity":
        return ""
    from mpcore.trainers import trainers

    name = item.callspec.params.get("trainer")
    return trainers[name].called() if name in trainers.names() else ""


def parameters(definition: Any, session: "Session") -> "Iterator[Any]":
    """A parameter for each case of a test, with the reason to skip it where the device cannot run it. A race has one for all
    executions. A test's marker `workloads` says which it may have; any other measures those that are named, or the usual ones.
    A race has those of loaded files, too, where they are named.
    Ranks are compared of those alone that have several. A workload whose package is not installed has no case. Raises
    UsageError for a marker that names what is not there."""
    from mpcore.loading import loaded_workloads
    from mpcore.precision import precisions
    from mpcore.workloads import workloads

    named, marked = session.options.selection, _marked(definition, "workload", [*workloads.names(), *workloads.planned])
    some = {*named.workloads} - {ALL} or {*workloads.names()}
    loaded = loaded_workloads(Path(file).stem for file in named.load) if kind_of(definition) == "race" else []
    own = None if marked is None else [name for name in (*marked, *loaded) if name in some]
    usual = _marked(definition, "precision", precisions.names())
    selection = named.model_copy(update={"precisions": named.precisions or usual or ()})
    found = matrix.cases(selection, session.device, own, compiled=COMPILED.get(kind_of(definition), ()))
    several = kind_of(definition) == "parallel"
    for case, reason in _one_by_one(found) if kind_of(definition) == "race" else found:
        if several and not case.spread:  # which has nothing to compare
            continue
        yield pytest.param(case, marks=[pytest.mark.skip(reason=reason)] if reason else [], id=case.id)


def _one_by_one(found: "Iterable[tuple[Case, str | None]]") -> "Iterable[tuple[Case, str | None]]":
    """Of cases that differ in nothing but their execution the first that can be run, or the first."""
    firsts: dict[Case, tuple[Case, str | None]] = {}
    for case, reason in found:
        of = case.model_copy(update={"execution": ""})
        if of not in firsts or (firsts[of][1] and not reason):
            firsts[of] = case, reason
    return firsts.values()


def group_of(kind: str, case: "Case") -> str:
    """What pytest-benchmark calls the table of a case."""
    batch = "" if case.batch_size is None else f", batch of {case.batch_size}"
    spread = f", {case.strategy} on {case.gpus}" if case.spread else ""
    return f"{kind}: {case.subject} ({case.size}, {case.execution}{spread}{batch})"


def own_parameter(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the test itself says what `name` is: this plugin is loaded beside tests of all kinds."""
    marks = metafunc.definition.iter_markers("parametrize")
    names = [n for mark in marks for n in _argument_names(mark.args[0] if mark.args else mark.kwargs["argnames"])]
    definitions = metafunc._arg2fixturedefs.get(name, ())  # private API of pytest: it has no public one
    return name in names or not definitions or definitions[-1].func.__module__ != FIXTURES


def _marked(definition: Any, noun: str, known: Sequence[str]) -> tuple[str, ...] | None:
    """What its marker names, one of a plural; None where it has none. Raises UsageError."""
    marker = definition.get_closest_marker(f"{noun}s")
    if marker is None:
        return None
    for name in marker.args:
        if name not in known:
            raise pytest.UsageError(
                f"{definition.nodeid}: its marker names the unknown {noun} {name!r}; known are {', '.join(known)}"
            )
    return tuple(marker.args)


def _argument_names(names: str | Sequence[str]) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
