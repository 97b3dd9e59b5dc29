"""What the gate says of a figure that is compared with another of the same case."""

from typing import Literal

from mpcore.records.base import Finite, Record

ALL_CASES = "all cases"
"""The case of a regression that all cases share."""

RegressionStatus = Literal["same", "better", "worse", "changed", "undecided", "blind", "saturated", "new", "incomparable"]
REGRESSIONS: dict[RegressionStatus, str] = {
    "same": "The change is shown to lie within the margin.",
    "better": "It is shown to be an improvement.",
    "worse": "It is shown to be worse than the margin; a time is measured again in a fresh process first.",
    "changed": "It is another one, in no direction that is better or worse.",
    "undecided": "The interval of the change reaches over the margin.",
    "blind": "It is undecided, and so much cannot be excluded that the machine is to blame.",
    "saturated": "It is the same, but a loss would not be seen there.",
    "new": "There is nothing to compare it with.",
    "incomparable": "What there is was measured on other terms, such as another version of a library that is counted.",
}
"""Each status in one line."""


class Regression(Record):
    """A figure compared with accepted runs, or head with base. `limit` and `value` are in the unit that the sentence names.

    ratio: to the other side's figure. interval: where the ratio lies, two one-sided bounds.
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
        return self.status in ("changed", "undecided", "blind", "saturated", "new", "incomparable")
