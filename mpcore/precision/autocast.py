"""`fp16-amp` and `bf16-amp`: PyTorch's automatic mixed precision. Weights and optimiser stay FP32, each operation of
autocast's lists gets its inputs in 16 or in 32 bits."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision.base import Precision, precisions
from mpcore.precision.casting import hold_fp32, matching
from mpcore.precision.optimisers import skips_by_itself
from mpcore.records import Recipe


class Autocast(Precision):
    is_mixed = True
    low_precision_share = 0.9
    """On a CPU, attention is on none of autocast's lists."""
    _entered = False

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        self.device_type = next(model.parameters()).device.type
        self.kept = hold_fp32(matching(model, self.keep_fp32), self.device_type)

    def forward(self) -> AbstractContextManager[Any]:
        self._entered = True
        return torch.autocast(self.device_type, self.dtype)

    def fp32_on_purpose(self, given: Any = ()) -> bool:
        """Where autocast is off, in a kept module or by the model's author. A step without any is a mistake."""
        return self._entered and not torch.is_autocast_enabled(self.device_type)


@precisions.register
class FP16Autocast(Autocast):
    """With torch's own GradScaler. A fused optimiser takes scale and overflow flag as tensors: it unscales and skips on the
    device. With other optimisers GradScaler waits for the host at every step."""

    name = "fp16-amp"
    compiled = True
    dtype = torch.float16
    scales = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        self.scaler = torch.amp.GradScaler(self.device_type)
        self._skipped = torch.zeros((), device=next(model.parameters()).device)
        self.scaler.scale(self._skipped)  # makes the scale tensor now and not at the first step

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def update(self) -> None:
        by_itself = skips_by_itself(self.optimiser)
        if self.max_norm is not None or not by_itself:
            self.scaler.unscale_(self.optimiser)
            self.clip()
        if by_itself:
            self.scaler.step(self.optimiser)
        (found_inf,) = self.scaler._found_inf_per_device(self.optimiser).values()  # private API
        if not by_itself:
            self.step_unless(found_inf)
        self._skipped.add_(found_inf)
        self.scaler.update()
        self.optimiser.zero_grad()

    def refused(self) -> str | None:
        for name, weight in self.trained(self.model).items():
            if weight.is_complex():
                return f"torch's GradScaler cannot unscale the complex gradient of {name}: expected a mode without a scale"
        return super().refused()

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return state | {"scale": state["scale"] | {"good_steps": self.scaler.state_dict()["_growth_tracker"]}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        counted = {"_growth_tracker": state["scale"]["good_steps"]}
        self.scaler.load_state_dict(self.scaler.state_dict() | counted)  # which fills in place

    @property
    def loss_scale(self) -> Tensor | None:
        return self.scaler._get_scale_async()  # private API

    @property
    def skipped(self) -> Tensor | None:
        return self._skipped


@precisions.register
class BF16Autocast(Autocast):
    """BF16 has the exponents of FP32: nothing to scale."""

    name = "bf16-amp"
    compiled = True
    dtype = torch.bfloat16
