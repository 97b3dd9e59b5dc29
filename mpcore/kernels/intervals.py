"""Lengths of times that overlap: of kernels that run at once."""

from collections.abc import Iterable

Span = tuple[float, float]
"""Begin and end."""


def covered(spans: Iterable[Span]) -> float:
    """The length of their union."""
    return sum(end - begin for begin, end in _joined(spans))


def within(spans: Iterable[Span], others: Iterable[Span]) -> float:
    """The length of what is in one of `spans` and in one of `others`."""
    first, second = _joined(spans), _joined(others)
    length, i, j = 0.0, 0, 0
    while i < len(first) and j < len(second):
        length += max(0.0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return length


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Their union, as spans that do not touch, in order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found
