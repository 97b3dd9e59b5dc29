"""What the gate says."""

from typing import Literal

from mpcore.records.base import Finite, Record

ALL_CASES = "all cases"
"""The case of a verdict on what all of them share."""

Status = Literal["same", "better", "worse", "undecided", "new"]


class Verdict(Record):
    """What the gate says of one figure. `limit` and `value` are in the unit the sentence names.

    compared: whether with accepted runs, or head with base, and not with what the mode must reach. Then `ratio` is that to
    the other side's figure, and `interval` where it lies: the two one-sided bounds.
    """

    kind: str
    case: str
    metric: str
    status: Status
    value: Finite
    limit: Finite
    ratio: Finite = None
    interval: tuple[Finite, Finite] | None = None
    compared: bool = False
    sentence: str
    known: bool = False
    """Whether that it is worse, or not shown to be as good, is what its mode is known for, and no fault."""

    @property
    def passed(self) -> bool:
        """What must be reached fails until it is shown; what is compared passes until it is shown to be worse."""
        return self.known or self.status not in (("worse",) if self.compared else ("worse", "undecided"))

    @property
    def open(self) -> bool:
        """Whether it passes because nothing is known: what --mp-strict is about."""
        return self.compared and not self.known and self.status in ("undecided", "new")
