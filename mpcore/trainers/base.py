"""Trainers: the same model, loss, optimiser and mode, as each library's own documentation writes the loop.

They get the same advantages: the fused optimiser, batches that are on the device already, no logging.
"""

from abc import ABC, abstractmethod
from importlib import metadata, util
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.registry import Registry
from mpcore.training.base import Step
from mpcore.training.step import seed_everything
from mpcore.workloads import Workload
from mpcore.workloads.checked import checked_model


class Library:
    """Who makes a training step.

    title: what it is called in a sentence.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """That must be installed, the one whose version counts first."""
    modes: ClassVar[dict[str, Any]]
    """By our modes, what the library calls them."""

    @classmethod
    def unsupported(cls, precision: str) -> str | None:
        """Why there is nothing to compare with, or None."""
        for package in cls.packages:
            if util.find_spec(package) is None:
                return f"{package} is not installed: pip install 'mpcore[parity]'"
        return None if precision in cls.modes else f"{cls.title} has no {precision}"

    @classmethod
    def version(cls) -> str:
        return metadata.version(cls.packages[0])


class StepTrainer(Library, Step, ABC):
    """One training step of `workload`: batch in, loss out. The TF32 switches are the caller's."""

    capabilities = frozenset({"rate"})

    def __init__(self, workload: Workload, precision: str, device: torch.device, *, seed: int = 0) -> None:
        self.label = f"{workload.name} by {type(self).title}"
        self.workload = workload
        self.device = device
        self.mode = self.modes[precision]
        seed_everything(seed)
        with torch.device(device):
            model = checked_model(workload)
        model = model.to(device).train()
        recipe = workload.recipe
        optimiser = getattr(torch.optim, recipe.optimiser)(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.model, self.optimiser = self.set_up(model, optimiser)

    def set_rate(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.workload.recipe.learning_rate * share

    @abstractmethod
    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        """What the library makes of the two."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor: ...


trainers = Registry("trainer", Library)
