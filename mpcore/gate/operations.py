"""Which operations two steps do not have alike, in words, what matters most first."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mpcore.kernels.bound import ARITHMETIC
from mpcore.kernels.classify import classify
from mpcore.records import Operation
from mpcore.records.work import compressed, expanded

NAMED = 3
"""Phrases that are told; the others are counted."""
FIELDS = ("dtype", "module")
"""One of them may be another in an operation that replaces one, beginning with what says most."""
BACKWARD = ", backward"
"""Ends a phrase of what follows from the forward pass, and is told after it."""
MOVED = 3
"""The last rank: the same in another module is a new name, mostly."""
CASTS = ("_to_copy", "copy_", "_foreach_copy_")
"""Operations that may copy into another format."""


class Difference(NamedTuple):
    """An operation that runs another number of times. was: the one in whose place it is, alike but for one field."""

    operation: Operation
    before: int
    after: int
    was: Operation | None = None

    @property
    def field(self) -> str:
        """That in which it differs from what was in its place, "" where nothing was."""
        return next((name for name in FIELDS if self.was and getattr(self.was, name) != getattr(self.operation, name)), "")

    @property
    def dtypes(self) -> set[str]:
        return {op.dtype for op in (self.operation, self.was) if op}

    @property
    def elements(self) -> int:
        """Of the largest tensors that it takes more or less: what orders the phrases."""
        sizes = [math.prod(map(int, re.findall(r"\d+", shape))) for shape in self.operation.shapes.split()]
        return max(sizes, default=1) * max(1, abs(self.after - self.before))


def differences(before: Counter[Operation], after: Counter[Operation]) -> list[Difference]:
    """Those that replace another are paired with it."""
    less, more = before - after, after - before
    found = [Difference(new, n, n, old) for field in FIELDS for new, old, n in _replaced(less, more, field)]
    return found + [Difference(op, before[op], after[op]) for op in sorted(less | more)]


def is_product(difference: Difference) -> bool:
    """Whether it is arithmetic, which FLOPs are counted of."""
    return _rank(difference.operation.name) == 0


def is_cast(difference: Difference) -> bool:
    """Whether it may be a copy into another format."""
    return difference.operation.name in CASTS


def explained(found: Sequence[Difference], fits: Callable[[Difference], bool] = lambda difference: True) -> str:
    """A phrase for each that fits, or for all where none does: products first, then what moves data, the largest first. Layers
    in a row that differ alike are one phrase. "" where nothing differs."""
    return listed(_phrases([difference for difference in found if fits(difference)] or found))


def listed(phrases: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(phrases) - NAMED
    return "; ".join([*phrases[:NAMED], *([f"and {more:,} more"] if more > 0 else [])])


def _replaced(less: Counter[Operation], more: Counter[Operation], field: str) -> Iterator[tuple[Operation, Operation, int]]:
    """New and old that differ in this field alone, and how often; they are taken out of both counters."""
    gone: dict[Operation, list[Operation]] = {}
    for old in sorted(less):
        gone.setdefault(_without(old, field), []).append(old)
    for new in sorted(more):
        for old in gone.get(_without(new, field), []):
            if count := min(less[old], more[new]):
                less[old] -= count
                more[new] -= count
                yield new, old, count
    for counter in (less, more):
        counter += Counter()  # without those that are used up


def _without(operation: Operation, field: str) -> Operation:
    fields: Any = {field: ""}
    return operation._replace(**fields)


def _phrases(found: Sequence[Difference]) -> list[str]:
    modules: dict[tuple[int, str, str], Counter[str]] = {}
    for members in _together(found):
        first = members[0]
        rank = MOVED if first.field == "module" else _rank(first.operation.name)
        row = modules.setdefault((rank, *_words(members)), Counter())
        row[first.operation.module] += sum(difference.elements for difference in members)
    said = [
        (rank, tail == BACKWARD, -sum(elements[each] for each in row), f"{head}{f' in {module}' if module else ''}{tail}")
        for (rank, head, tail), elements in modules.items()
        for module, row in _rows(elements)
    ]
    return [phrase for *_, phrase in sorted(said)]


def _together(found: Sequence[Difference]) -> list[list[Difference]]:
    """Of one module: what differs in nothing but shapes, and all of a kind that got the same format."""
    groups: dict[tuple[object, ...], list[Difference]] = {}
    for difference in found:
        op, was, field = difference.operation, difference.was, difference.field
        kind = _rank(op.name) if field == "dtype" else (op.name, op.phase)
        groups.setdefault((op.module, op.dtype, kind, field, was and (was.dtype, was.module)), []).append(difference)
    return list(groups.values())


def _words(members: Sequence[Difference]) -> tuple[str, str]:
    """What stands before and after the name of the module."""
    op, was, field = members[0].operation, members[0].was, members[0].field
    if was and field == "dtype":
        forward = [difference for difference in members if difference.operation.phase == "forward"]
        names = sorted({difference.operation.name for difference in forward or members})  # the backward pass follows
        is_, was_ = ("is", "was") if len(names) == 1 else ("are", "were")
        return ", ".join(names), f" {is_} {op.dtype}, {was_} {was.dtype}"
    shapes = sorted({difference.operation.shapes for difference in members})
    shown = shapes[0] if len(shapes) == 1 else f"{len(shapes)} shapes"
    described = f"{op.name} ({', '.join(filter(None, [op.dtype, shown]))})"
    if was:
        return f"{described} is", f"{'' if op.module else ' in no module'}, was in {was.module or 'no module'}"
    before, after = (sum(getattr(difference, side) for difference in members) for side in ("before", "after"))
    if before == after:
        return f"{op.name} ({op.dtype}, {_exchanged(members)})", f", {op.phase}"
    return f"{described} {before:,} -> {after:,}", f", {op.phase}"


def _exchanged(members: Sequence[Difference]) -> str:
    """The shapes of an operation that runs as often as it did."""
    old, new = ([d.operation.shapes for d in members if sign * (d.before - d.after) > 0] for sign in (1, -1))
    return f"{old[0] or 'none'} -> {new[0] or 'none'}" if len(old) == len(new) == 1 else "other shapes"


def _rows(elements: Counter[str]) -> Iterator[tuple[str, list[str]]]:
    """Modules, those that differ by a number as one, each with its members."""
    blank = Operation("", "", "", "", "")
    for text in compressed({blank._replace(module=module): 1 for module in elements}):
        yield Operation.parsed(text).module, [op.module for op in expanded({text: 1})]


def _rank(name: str) -> int:
    """Products, then what is known to move data, then the rest, which is mostly views."""
    family = classify(f"aten::{name}")[0]
    return 0 if family in ARITHMETIC else 2 if family == "other" else 1
