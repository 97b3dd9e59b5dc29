"""Parameter groups: weights that are trained at a rate or a decay of their own."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Parameters of a model, and the factors that the recipe's learning rate (`rate`) and weight decay (`decay`) are multiplied
    by: at 0 nothing of it is left."""

    parameters: Iterable[Tensor]
    rate: float = 1.0
    decay: float = 1.0
