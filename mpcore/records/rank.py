"""One of the processes that a step is spread over."""

from pydantic import NonNegativeInt

from mpcore.records.base import Bytes, NonNegativeFloat, Record
from mpcore.records.measurement import Blocks


class RankTime(Record):
    """Where a rank is during one step, in seconds.

    compute: in which kernels run that compute; on a CPU the time that it gave the rank. communication: in which those of
    collectives run, waits for slower ranks included. exposed: in which they run and nothing is computed. None each on a CPU,
    where nobody tells.
    """

    compute: NonNegativeFloat
    communication: NonNegativeFloat | None = None
    exposed: NonNegativeFloat | None = None

    @property
    def waits(self) -> tuple[float, float]:
        """Least on the rank that the others wait for: its collectives take least time. Without
        their times it is the one that computes most."""
        return self.communication or 0.0, -self.compute


class Rank(Record):
    """The times of one rank, a hash of its replica of the weights, and the most memory that it takes."""

    rank: NonNegativeInt
    blocks: Blocks
    weights_hash: str
    time: RankTime | None = None
    peak_allocated_bytes: Bytes | None = None
