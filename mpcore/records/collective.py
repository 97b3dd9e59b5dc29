"""What a step sends between ranks."""

from pydantic import NonNegativeInt, PositiveInt

from mpcore.records.base import Record

PASSES = {"allreduce_": 2, "_allgather_base_": 1, "_reduce_scatter_base_": 1}
"""How often each link carries what a collective is called with, for many ranks. An all-reduce scatters sums and gathers them
(the bus bandwidth of nccl-tests, doc/PERFORMANCE.md)."""


class Collective(Record):
    """One kind of what a step sends between ranks: so many calls, over so many elements and bytes in all."""

    operation: str
    dtype: str
    calls: PositiveInt
    elements: NonNegativeInt
    bytes: NonNegativeInt

    def bus_bytes(self, ranks: int) -> float:
        """What each rank's links carry in each direction."""
        return PASSES.get(self.operation, 0) * (ranks - 1) / ranks * self.bytes
