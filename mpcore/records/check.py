"""What the gate says of a figure that must reach something."""

from typing import Literal

from mpcore.records.base import Finite, Record

CheckStatus = Literal["passed", "failed", "inconclusive", "expected_failure", "saturated"]


class Check(Record):
    """Whether a measurement reaches what is required of it. `limit` and `value` are in the unit that the sentence names.

    inconclusive: it is not shown to reach it, which fails. expected_failure: its mode is known for that, and it is no fault.
    saturated: it reaches it where a loss would not be seen.
    """

    kind: str
    case: str
    metric: str
    status: CheckStatus
    value: Finite
    limit: Finite
    sentence: str

    @property
    def passed(self) -> bool:
        """What must be reached fails until it is shown."""
        return self.status in ("passed", "expected_failure", "saturated")
