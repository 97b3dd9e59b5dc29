"""What the registry of workloads holds: models that mpcore makes a step of, and steps that exist already."""

from abc import ABC
from typing import ClassVar

from mpcore.data import Source
from mpcore.records import Size


class Entry(ABC):
    """A `Workload` or an `OwnStep`.

    source: where the data come from. checkpoint: a folder or hub id of pretrained weights, or None for random ones.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised by whoever changes what is measured: results of two versions are not compared."""
    unit: ClassVar[str]
    """What is counted, in the plural: "reviews", "images"."""
    synthetic: ClassVar[bool] = False
    """Random inputs: measured for speed, and only where it is named."""
    on_request: ClassVar[bool] = False
    """Left out where no workload is named, too, with data to learn from."""
    reads_checkpoint: ClassVar[bool] = False
    """Whether it starts from `self.checkpoint`, where there is one. Else a checkpoint is refused."""
    long_training: ClassVar[bool] = False
    """Trained only on request."""

    def __init__(self, size: Size, source: Source | None = None, checkpoint: str | None = None) -> None:
        self.size = size
        self.source = source or Source()
        self.checkpoint = checkpoint

    @property
    def rows_per_batch(self) -> int:
        """Samples of a batch."""
        raise NotImplementedError

    @property
    def units_per_sample(self) -> int:
        """How many of what is counted a sample of a batch is, as a sequence is of tokens."""
        return 1

    def load(self) -> None:
        """Reads the data, where they can be read before a step is built. Raises DataError, WorkloadError."""
        return
