"""By how much one figure of one case changed from one run to another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.report.figure import COMPILE, SCORE, Figure
from mpcore.report.rows import Row


@dataclass(frozen=True)
class Change:
    """before, after: None where it was not measured."""

    figure: Figure
    case: str
    unit: str
    before: float | None
    after: float | None

    @property
    def points(self) -> bool:
        """Whether it is counted in percentage points, as a score that is a percentage is; per cent else."""
        return self.figure is SCORE and self.unit.endswith("%")

    @property
    def size(self) -> float:
        """What is there, or finite, on one side only has changed more than anything else."""
        if self.before == self.after:
            return 0.0
        if self.before is None or self.after is None or math.inf in (self.before, self.after):
            return math.inf
        if self.points:
            return self.after - self.before
        return 100 * (self.after / self.before - 1) if self.before else math.inf

    @property
    def listed(self) -> bool:
        return self.size != 0 and abs(self.size) >= self.figure.listed

    @property
    def cells(self) -> list[str]:
        """Before, after, and the change."""
        texts = ["-" if value is None else self.figure.text(value) for value in (self.before, self.after)]
        size = f"{self.size:+.2f} points" if self.points else f"{self.size:+,.1f} %"
        return [*texts, "-" if math.isinf(self.size) else size]


def changes_of(figure: Figure, before: Sequence[Row], after: Sequence[Row]) -> list[Change]:
    """Of the cases that have it in either run, the largest first. before, after: rows of the same cases."""
    found = [
        Change(figure, new["case"], figure.unit.format(**new), old[figure.column], new[figure.column])
        for old, new in zip(before, after, strict=True)
        if (old[figure.column], new[figure.column]) != (None, None) and _alike(figure, old, new)
    ]
    return sorted(found, key=lambda change: -abs(change.size))


def _alike(figure: Figure, old: Row, new: Row) -> bool:
    """Whether both are of one kind: what a cache holds is not compiled."""
    return figure is not COMPILE or old["warmth"] == new["warmth"]
