"""`fp16-manual` and `bf16-manual`: mixed precision by hand, and faster than autocast, which casts every weight anew
at every step.

The model is cast to 16 bits once. An FP32 master of each weight is what the optimiser updates:

    loss * scale -> 16-bit gradients -> copied to FP32 -> unscaled and checked -> clipped -> fused optimiser on the
    masters, which skips by itself where a gradient was not finite -> masters copied back into the 16-bit weights

none of it waiting for the host.

BatchNorm keeps FP32 weights and running statistics, which its kernels take beside 16-bit inputs: cuDNN's fast ones
take no others. Weights that stay FP32 are their own masters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # private API

from mpcore.precision.base import precisions
from mpcore.precision.casting import cast_inputs, cast_model, hold_fp32, matching
from mpcore.precision.flat import FlatWeights
from mpcore.precision.scaled import Scaled
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
class FP16MasterWeights(Scaled, MasterWeights):
    name = "fp16-manual"

    def scaled_gradients(self) -> Sequence[Tensor]:
        return [gradient for g in self.groups if (gradient := g.whole.grad) is not None]


@precisions.register
class BF16MasterWeights(MasterWeights):
    """No scale: BF16 has the exponents of FP32."""

    name = "bf16-manual"
    compiled = True
    dtype = torch.bfloat16
