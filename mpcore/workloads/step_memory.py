"""What a training step holds, which chooses the batch of size `fit`."""

from dataclasses import dataclass

from mpcore.device.machine import OF_CLASS

KEPT_GIB = 1.5
"""Of a GPU's memory, for libraries that ask its driver themselves, and for what an allocator cannot use."""


@dataclass(frozen=True)
class StepMemory:
    """GiB of a step in FP32 at full size, as accepted runs recorded its peak. A part is there whatever the batch (weights,
    gradients, optimiser), and each sample adds some. Other modes hold less."""

    fixed: float
    per_sample: float

    def of(self, batch_size: int) -> float:
        return self.fixed + batch_size * self.per_sample

    def in_fp64(self) -> "StepMemory":
        """Of the yardstick that errors are measured against, without what is compared. FP64 has no fused attention, and for
        each result that is rounded as many chances are drawn. A sample takes 3.5 to 5 times as much as in FP32, and one of
        ViT-L 7 times."""
        return StepMemory(fixed=2 * self.fixed, per_sample=5 * self.per_sample)

    @property
    def compared(self) -> float:
        """GiB of what errors are measured between: six copies of the weights in FP64, of first weights, gradients and updates.
        A step in FP32 holds four, of half the size."""
        return 6 * self.fixed / 2

    def compared_on_host(self, memory_class: int) -> bool:
        """Whether what is compared leaves no room for the yardstick on a GPU that is sold with so many GB."""
        return self.in_fp64().fixed + self.compared > _room(memory_class)

    def fitting_rows(self, rows: int, memory_class: int) -> int:
        """The samples that errors are measured on there: `rows`, halved until they fit; 1 at least."""
        yardstick = self.in_fp64()
        beside = 0.0 if self.compared_on_host(memory_class) else self.compared
        return StepMemory(yardstick.fixed + beside, yardstick.per_sample).fitting(rows, memory_class)

    def fitting(self, batch_size: int, memory_class: int) -> int:
        """The batch, halved until its step fits a GPU that is sold with so many GB; 1 at least."""
        while batch_size > 1 and self.of(batch_size) > _room(memory_class):
            batch_size //= 2
        return batch_size


def _room(memory_class: int) -> float:
    """GiB of it for a step."""
    return OF_CLASS * memory_class - KEPT_GIB
