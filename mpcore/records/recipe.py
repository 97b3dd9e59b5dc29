"""How a workload is trained."""

from typing import Literal

from pydantic import PositiveInt

from mpcore.records.base import Number, PositiveFloat, Record


class Recipe(Record):
    """How a workload is trained. `optimiser` is the name of a class in torch.optim that has a fused kernel."""

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    weight_decay: Number = 0.01
    test_each_epoch: bool = False
    """Whether it is tested after each epoch, and not only after the last."""
