"""What is measured, in names only."""

from typing import Literal

from pydantic import PositiveInt

from mpcore.records.base import Record

Size = Literal["tiny", "full", "fit"]
"""fit: all of full, in a batch that fits the GPU's class of memory, which the case names."""
ModelSize = Literal["tiny", "full"]
OWN_TRAINER = "mpcore"
"""Who makes the step where nobody else is named."""
OWN_STRATEGY = "own"
"""How a step is spread whose author has done it."""
CAPTURED = ("graph", "compile")
"""Executions whose step is one graph on a GPU, which the host only has to start."""


class Case(Record):
    """What is measured, in names only, so that it can travel as JSON.

    trainer: who makes the step. strategy: how it is spread over `gpus` GPUs.
    """

    workload: str
    precision: str
    trainer: str = OWN_TRAINER
    execution: str = "eager"
    strategy: str = "single"
    gpus: PositiveInt = 1
    size: Size
    seed: int = 0
    batch_size: PositiveInt | None = None
    """None for the batch of the workload's recipe."""
    keep_fp32: tuple[str, ...] = ()
    """Patterns of modules that compute in FP32, beside those of the workload."""

    @property
    def id(self) -> str:
        """Its name, which shows of the fields with a default only those that differ: "bert-imdb-fp16-amp-graph-full"."""
        others = [
            "" if self.batch_size is None else f"-b{self.batch_size}",
            f"-{self.strategy}{self.gpus}" if self.spread else "",
            "" if self.trainer == OWN_TRAINER else f"-by-{self.trainer}",
            f"-keep-{'+'.join(self.keep_fp32)}" if self.keep_fp32 else "",
        ]
        return f"{self.workload}-{self.precision}-{self.execution}-{self.size}" + "".join(others)

    @property
    def model_size(self) -> ModelSize:
        """Of its model, its data and all else but its batch."""
        return "full" if self.size == "fit" else self.size

    @property
    def spread(self) -> bool:
        """Whether it is anything but a step on one GPU."""
        return (self.strategy, self.gpus) != ("single", 1)

    @property
    def subject(self) -> str:
        """What a sentence on it begins with: "bert-imdb", or "bert-imdb by plain"."""
        return self.workload if self.trainer == OWN_TRAINER else f"{self.workload} by {self.trainer}"

    @property
    def captured(self) -> bool:
        """Whether its step is one graph where there is a GPU; otherwise Python sets the pace."""
        return self.execution in CAPTURED

    def in_precision(self, precision: str) -> "Case":
        """The same case in another mode."""
        return self.model_copy(update={"precision": precision})
