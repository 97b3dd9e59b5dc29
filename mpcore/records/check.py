"""What the gate says of a figure that must reach something."""

from typing import Literal

from mpcore.records.base import Finite, Record

CheckStatus = Literal["passed", "failed", "inconclusive", "expected_failure", "saturated"]
CHECKS: dict[CheckStatus, str] = {
    "passed": "It reaches what is required.",
    "failed": "It does not.",
    "inconclusive": "Nobody has shown that it does: too few seeds, too much noise, or a reference that is missing.",
    "expected_failure": "It does not, and its mode is known for that.",
    "saturated": "It does, but a loss would not be seen there.",
}
"""Each status in one line."""


class Check(Record):
    """Whether a measurement reaches what is required of it. `limit` and `value` are in the unit that the sentence names."""

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
