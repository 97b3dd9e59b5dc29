"""What is to be measured, as the options name it."""

from pydantic import PositiveInt

from mpcore.records.base import NonNegativeFloat, Record
from mpcore.records.case import Size


class Selection(Record):
    """What is to be measured, on what and with which data, in names only. A field that is empty means the default.

    strategies: of the cases on several GPUs. load: files that register workloads, modes or trainers. loaded_alone: the names of
    those, without folder and ending, whose workloads are all where none is named. checkpoints: by workload, what its trainings
    start from. seeds: trainings of a mode. tolerance_points: accuracy that one may lose.
    """

    workloads: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    trainers: tuple[str, ...] = ()
    executions: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    gpus: tuple[PositiveInt, ...] = ()
    size: Size | None = None
    batch_sizes: tuple[PositiveInt, ...] = ()
    device: str | None = None
    data: str | None = None
    keep_fp32: tuple[str, ...] = ()
    load: tuple[str, ...] = ()
    loaded_alone: tuple[str, ...] = ()
    checkpoints: tuple[tuple[str, str], ...] = ()
    seeds: PositiveInt | None = None
    tolerance_points: NonNegativeFloat | None = None

    @property
    def spread(self) -> bool:
        """Whether it names cases on several GPUs, so that all are measured in ranks."""
        return max(self.gpus, default=1) > 1
