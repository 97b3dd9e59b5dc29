"""The learning rates of an optimiser's parameter groups."""

import torch
from torch import Tensor


class Rates:
    """Each group's is the rate of a recipe times a factor: its rate over `recipe_rate`, as the optimiser was built. Waits for
    the device where it reads a rate there."""

    def __init__(self, optimiser: torch.optim.Optimizer, recipe_rate: float) -> None:
        self._optimiser = optimiser
        self.factors = [_factor(group["lr"], recipe_rate) for group in optimiser.param_groups]

    def set(self, rate: float) -> None:
        """In place, where a captured step reads it."""
        for group, factor in zip(self._optimiser.param_groups, self.factors, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor


def _factor(rate: float | Tensor, recipe_rate: float) -> float:
    if isinstance(rate, Tensor):  # of two rates that were rounded alike
        return rate.item() / torch.tensor(recipe_rate, dtype=rate.dtype).item()
    return rate / recipe_rate
