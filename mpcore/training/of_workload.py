"""A step that trains a workload's model."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import Batch
from mpcore.device.compile_cache import keep_formats_apart
from mpcore.device.functions import follow
from mpcore.execution import Eager
from mpcore.precision import Precision
from mpcore.training.base import Step
from mpcore.training.dropout import WithoutDropout
from mpcore.training.parts import rank_rows
from mpcore.workloads import Workload
from mpcore.workloads.checked import checked_share


class WorkloadStep(Step):
    """Trains `model` with the loss of `workload`, by its recipe, in `precision`; without `dropout` where two are compared."""

    _execute: Eager
    _execute_prediction: Eager

    def __init__(
        self, workload: Workload, precision: Precision, model: nn.Module, device: torch.device, *, dropout: bool
    ) -> None:
        keep_formats_apart()  # of what the model may compile by itself, too
        self.workload = workload
        self.precision = precision
        self.device = device
        self.model = model
        self._frozen = [module for module in model.modules() if model.training and not module.training]
        self._without_dropout = None if dropout else WithoutDropout()
        if self._without_dropout:
            follow(self._without_dropout, model)
        self.train_mode()

    def __call__(self, batch: Batch) -> Tensor:
        with self.settings():
            return self._execute(batch)

    def launch(self, batch: Batch) -> Tensor:
        with self.settings():
            return self._execute.launch(batch)

    def predict(self, batch: Batch) -> Tensor:
        with self.settings():
            return self._execute_prediction(batch)

    def _step(self, batch: Batch) -> Tensor:
        """What is executed, in the settings."""
        raise NotImplementedError

    def share(self, batch: Batch) -> Batch:
        """The samples of a batch that it trains on: all, or where it is spread those of its rank."""
        return rank_rows(batch) if self.spread else batch

    def train_mode(self) -> None:
        """But for the modules that the workload put in evaluation mode in a model that trains, such as a frozen BatchNorm."""
        self.model.train()
        for module in self._frozen:
            module.training = False

    def set_learning_rate(self, learning_rate: float) -> None:
        """Needs `rate`. As if it were the recipe's."""
        self.set_rate(learning_rate / self.workload.recipe.learning_rate)

    def schedule(self, step: int, steps: int) -> float:
        return checked_share(self.workload, step, steps)

    def before_loss(self) -> None:
        """Called before the loss of a part of a batch is computed, or of a whole batch where nobody sees its parts."""

    def fp32_on_purpose(self, given: Any = ()) -> bool:
        """Whether what runs now, with what it is given, is in FP32 because somebody asked for it."""
        return self.precision.fp32_on_purpose(given)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """What holds inside a call, and nowhere else."""
        with self.precision.settings(), self._without_dropout or nullcontext():
            yield
