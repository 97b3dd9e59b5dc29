"""What is measured, and how it is trained, in names only."""

from typing import Literal

from pydantic import PositiveInt

from mpcore.records.base import Number, PositiveFloat, Record

Size = Literal["tiny", "full"]


class Case(Record):
    """What is measured, in names only, so that it can travel as JSON."""

    workload: str
    precision: str
    execution: str = "eager"
    size: Size
    seed: int = 0
    batch_size: PositiveInt | None = None
    """None for that of the workload's recipe."""

    @property
    def id(self) -> str:
        batch = "" if self.batch_size is None else f"-b{self.batch_size}"
        return f"{self.workload}-{self.precision}-{self.execution}-{self.size}{batch}"

    def in_precision(self, precision: str) -> "Case":
        """The same case in another mode."""
        return self.model_copy(update={"precision": precision})


class Recipe(Record):
    """How a workload is trained. `optimiser` is the name of a class in torch.optim that has a fused kernel."""

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    weight_decay: Number = 0.01
    test_each_epoch: bool = False
    """Whether it is tested after each epoch, and not only after the last."""


class Selection(Record):
    """What is to be measured, on what and with which data, in names only; where none is given, the default. load: files that
    register workloads or modes."""

    workloads: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    executions: tuple[str, ...] = ()
    size: Size | None = None
    batch_sizes: tuple[PositiveInt, ...] = ()
    device: str | None = None
    data: str | None = None
    load: tuple[str, ...] = ()
