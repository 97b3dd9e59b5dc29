"""How far a machine drifted while a workload was measured."""

from typing import Literal

from mpcore.records.base import Number
from mpcore.records.measurement import Measurement


class Drift(Measurement):
    """By reference mode, how much longer its step took after the last case of the workload than before the first, as a share.
    The case is the first reference's."""

    kind: Literal["drift"] = "drift"
    shares: dict[str, Number]
