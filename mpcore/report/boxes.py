"""Few products that hold all points of a list, and no other: lists of names in place of all their combinations."""

from collections.abc import Collection, Iterable
from typing import Any

Point = tuple[Any, ...]
Box = tuple[tuple[Any, ...], ...]
"""The values on each axis."""


def boxes(points: Iterable[Point], axes: Collection[int]) -> list[Box]:
    """In the order in which the points first appear. axes: those along which a box may hold several values."""
    found: list[Box] = [tuple((value,) for value in point) for point in dict.fromkeys(points)]
    for axis in axes:
        found = _joined(found, axis)
    return found


def _joined(found: list[Box], axis: int) -> list[Box]:
    """Those that are the same but along one axis, as one."""
    joined: dict[tuple[frozenset[Any], ...], Box] = {}
    for box in found:
        others = tuple(frozenset(values) for number, values in enumerate(box) if number != axis)
        first = joined.get(others, box)
        joined[others] = (*first[:axis], tuple(dict.fromkeys([*first[axis], *box[axis]])), *first[axis + 1 :])
    return list(joined.values())
