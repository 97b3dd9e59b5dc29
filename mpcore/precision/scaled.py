"""A mode that scales its loss by itself, with a scale that never leaves the device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision.base import Precision
from mpcore.precision.optimisers import skips_by_itself
from mpcore.precision.scale import LossScale
from mpcore.records import Recipe


class Scaled(Precision):
    """Stands before the mode whose gradients it scales. Gradients of several ranks must have been averaged before `update`:
    then what is not finite on one of them is so on all."""

    dtype = torch.float16
    scales = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        self.scaler = LossScale(next(model.parameters()).device)

    def scaled_gradients(self) -> Sequence[Tensor]:
        """Those to be unscaled, before an update."""
        return [p.grad for p in self.trained(self.model).values() if p.grad is not None]

    def backward(self, loss: Tensor) -> None:
        super().backward(loss * self.scaler.scale)

    def update(self) -> None:
        self.scaler.unscale_(self.scaled_gradients())
        super().update()
        self.scaler.update()

    def step_optimiser(self) -> None:
        if skips_by_itself(self.optimiser):
            self.optimiser.found_inf = self.scaler.found_inf  # type: ignore[attr-defined]
            self.optimiser.step()
        else:
            self.step_unless(self.scaler.found_inf)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return state | {"scale": state["scale"] | {"good_steps": self.scaler.good_steps.item()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.scaler.good_steps.fill_(state["scale"]["good_steps"])

    @property
    def loss_scale(self) -> Tensor | None:
        return self.scaler.scale

    @property
    def skipped(self) -> Tensor | None:
        return self.scaler.skipped
