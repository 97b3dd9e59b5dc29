"""The kernels of a step."""

from typing import Literal

from mpcore.records.base import NonNegativeFloat, PositiveFloat, Record

REST = "the rest"
TINY = 1e-6
"""Launches: less is what is left of sums that cancel out."""


class Kernel(Record):
    """What a step launches under one name: on a GPU kernels and copies, on a CPU operations. `count` and `seconds` (of
    device time, all launches together) are those of one step."""

    name: str
    count: PositiveFloat
    seconds: NonNegativeFloat


class Family(Record):
    """All kernels of one kind and format. `bits` is the width that they read and write, None where no name tells."""

    name: str
    bits: Literal[16, 32] | None
    count: PositiveFloat
    seconds: NonNegativeFloat


class Profile(Record):
    """The kernels of one step.

    kernels: the longest, longest first. families: all kernels by family, longest first. counts: launches of all kernels by
    name, None where they were not stored.
    """

    kernels: tuple[Kernel, ...]
    families: tuple[Family, ...]
    counts: dict[str, PositiveFloat] | None = None

    @property
    def seconds(self) -> float:
        """Device time of one step."""
        return sum(f.seconds for f in self.families)

    @property
    def rest(self) -> Kernel | None:
        """All that are not among the longest, as one; None where there are none."""
        count = sum(f.count for f in self.families) - sum(k.count for k in self.kernels)
        seconds = self.seconds - sum(k.seconds for k in self.kernels)
        return Kernel(name=REST, count=count, seconds=max(0.0, seconds)) if count > TINY else None
