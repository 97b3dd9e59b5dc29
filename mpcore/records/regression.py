"""What the gate says of a figure that is compared with another of the same case."""

from typing import Literal

from mpcore.records.base import Finite, Record

ALL_CASES = "all cases"
"""The case of a regression that all cases share."""

RegressionStatus = Literal["same", "better", "worse", "changed", "undecided", "saturated", "new", "incomparable"]


class Regression(Record):
    """A figure compared with accepted runs, or head with base. `limit` and `value` are in the unit that the sentence names.

    saturated: the same, where a loss would not be seen. changed: another one, in no direction that is better or worse. new:
    there is nothing to compare it with. incomparable: what there is was measured on other terms. ratio: to the other side's
    figure. interval: where the ratio lies, two one-sided
    bounds.
    """

    kind: str
    case: str
    metric: str
    status: RegressionStatus
    value: Finite
    limit: Finite
    ratio: Finite = None
    interval: tuple[Finite, Finite] | None = None
    sentence: str

    @property
    def passed(self) -> bool:
        """What is compared passes until it is shown to be worse."""
        return self.status != "worse"

    @property
    def open(self) -> bool:
        """Whether it passes because nothing is decided: what --mp-strict is about."""
        return self.status in ("changed", "undecided", "saturated", "new", "incomparable")
