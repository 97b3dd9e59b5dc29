"""`fp16-manual` and `bf16-manual`: mixed precision by hand, and faster than autocast, which casts every weight anew
at every step.

The model is cast to 16 bits once. An FP32 master of each weight is what the optimiser updates:

    loss * scale -> 16-bit gradients -> copied to FP32 -> unscaled and checked -> clipped -> fused optimiser on the
    masters, which skips by itself where a gradient was not finite -> masters copied back into the 16-bit weights

none of it waiting for the host.

BatchNorm keeps FP32 weights and running statistics, which its kernels take beside 16-bit inputs: cuDNN's fast ones
take no others. Weights that stay FP32 are their own masters.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # private API

from mpcore.precision.base import precisions
from mpcore.precision.casting import cast_inputs, cast_model, hold_fp32, matching
from mpcore.precision.flat import FlatWeights
from mpcore.precision.optimisers import skips_by_itself
from mpcore.precision.scale import LossScale
from mpcore.records import Recipe


class MasterWeights(FlatWeights):
    is_mixed = True
    casts = True
    low_precision_share = 0.9

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        held = matching(model, self.keep_fp32)
        inside = {inner for module in held.values() for inner in module.modules()}
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m not in inside]
        kept = {p for module in [*held.values(), *norms] for p in module.parameters()}
        self.flatten(model, lambda p: (torch.float32, p in kept or p.is_complex()))  # which are not cast
        cast_model(model, self.dtype, [*held.values(), *norms])
        cast_inputs(model, self.dtype)
        self.kept = hold_fp32(held, self.groups[0].whole.device.type, self.dtype)
        self.update_in_place_of(model, recipe)


@precisions.register
class FP16MasterWeights(MasterWeights):
    name = "fp16-manual"
    dtype = torch.float16
    scales = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        self.scaler = LossScale(self.groups[0].whole.device)

    def backward(self, loss: Tensor) -> None:
        super().backward(loss * self.scaler.scale)

    def update(self) -> None:
        self.scaler.unscale_([gradient for g in self.groups if (gradient := g.whole.grad) is not None])
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


@precisions.register
class BF16MasterWeights(MasterWeights):
    """No scale: BF16 has the exponents of FP32."""

    name = "bf16-manual"
    compiled = True
    dtype = torch.bfloat16
