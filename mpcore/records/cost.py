"""What a measurement takes."""

from pydantic import NonNegativeInt

from mpcore.records.base import NonNegativeFloat, Record


class Cost(Record):
    """Of one test, from its beginning to its judgement.

    seconds: all that it built, compiled and timed included. peak_bytes: of the device's memory, at most at once; None on a CPU,
    where nobody counts them.
    """

    seconds: NonNegativeFloat
    peak_bytes: NonNegativeInt | None
