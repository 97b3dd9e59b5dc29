"""The tests of a session that measure a case: what kind they are, and what each is given."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin.clock import Clock

if TYPE_CHECKING:
    from mpcore.records import Case

FIXTURES = "mpcore.plugin.fixtures"
KINDS = {
    "speed": "times a training step of every case",
    "accuracy": "trains every case to the end of its recipe",
    "numerics": "compares a step of every case with FP64",
    "parity": "compares with other trainers; run on request, by -m parity or by its file",
}


def kind_of(item: pytest.Item) -> str:
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), "other")


def marks(kind: str, case: "Case", reason: str | None) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.benchmark(timer=Clock(), group=f"{kind}: {case.workload} ({case.size}, {case.execution})")]
    return [*marks, pytest.mark.skip(reason=reason)] if reason else marks


def merge_marks(item: pytest.Item) -> None:
    """Of those for pytest-benchmark the closest alone counts, and that of a case has the clock."""
    found = [mark.kwargs for mark in item.iter_markers("benchmark")]
    if len(found) > 1:
        item.add_marker(
            pytest.mark.benchmark(**{k: v for of_mark in reversed(found) for k, v in of_mark.items()}), append=False
        )


def own_parameter(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the test itself says what `name` is: this plugin is loaded beside tests of all kinds."""
    marks = metafunc.definition.iter_markers("parametrize")
    names = [n for mark in marks for n in _argument_names(mark.args[0] if mark.args else mark.kwargs["argnames"])]
    definitions = metafunc._arg2fixturedefs.get(name, ())
    return name in names or not definitions or definitions[-1].func.__module__ != FIXTURES


def _argument_names(names: str | Sequence[str]) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def case_of(item: pytest.Item) -> "Case | None":
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("case") if callspec else None
    if "mpcore.records" not in sys.modules:  # which no case of ours can be without
        return None
    from mpcore.records import Case

    return value if isinstance(value, Case) else None
