"""How a GPU did while it was timed."""

import statistics

from pydantic import NonNegativeInt

from mpcore.records.base import NonNegativeFloat, Number, Record


class GpuState(Record):
    """What the GPU said of itself, once in every timed block: seconds since the first, clock of its
    multiprocessors, power and temperature. Also the energy it has used since its driver was loaded.

    limits: reasons for which its clock was held back in any block, slowdowns and the power cap alike. untold: by field, why it
    does not tell that one, which is () then, or None.
    """

    at_seconds: tuple[Number, ...]
    sm_mhz: tuple[NonNegativeInt, ...]
    watts: tuple[NonNegativeFloat, ...]
    celsius: tuple[int, ...]
    joules: tuple[NonNegativeFloat, ...]
    limits: tuple[str, ...] | None
    other_processes: NonNegativeInt | None
    untold: dict[str, str] = {}

    @property
    def mean_watts(self) -> float | None:
        """The slope of energy over time, by least squares: the counter moves ten times a second only."""
        if len(self.joules) < 4:  # as where it does not tell
            return None
        slope = statistics.linear_regression(self.at_seconds, self.joules).slope
        return slope if slope > 0 else None
