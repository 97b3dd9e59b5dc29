"""The kernels of a step."""

from typing import Literal

from mpcore.records.base import NonNegativeFloat, PositiveFloat, Record


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
    """The kernels of one step: the longest, longest first, the others as one sum, and all of them by family."""

    kernels: tuple[Kernel, ...]
    rest: Kernel | None
    families: tuple[Family, ...]

    @property
    def seconds(self) -> float:
        """Device time of one step."""
        return sum(f.seconds for f in self.families)
