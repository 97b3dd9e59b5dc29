"""How a step is run. An execution is made from a function of a batch and is called in its place."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from mpcore.data import Batch
from mpcore.registry import executions


@executions.register
class Eager:
    """One operation after the other, each launched by Python."""

    name: ClassVar[str] = "eager"

    def __init__(self, function: Callable[[Batch], Tensor]) -> None:
        self.function = function

    def __call__(self, batch: Batch) -> Tensor:
        return self.function(batch)
