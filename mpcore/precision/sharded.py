"""`fp16-manual` and `bf16-manual` where weights are sharded over ranks. The FP32 shards are the masters, what is gathered is
cast to 16 bits, and gradients are averaged in FP32. The strategy does that; the mode casts what the model is called with."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # private API

from mpcore.precision.base import Precision
from mpcore.precision.casting import cast_inputs, hold_fp32, matching
from mpcore.precision.errors import Inapplicable
from mpcore.precision.scaled import Scaled
from mpcore.records import Recipe


class ShardedMasters(Precision):
    is_mixed = True
    casts = True
    low_precision_share = 0.9

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        """What is kept in FP32 and has no weights, such as angles of positions, is kept as anywhere."""
        held = matching(model, self.keep_fp32)
        device = next(model.parameters()).device
        cast_for_shards(model, held, self.dtype, self.name)
        super().prepare(model, recipe)
        self.kept = hold_fp32(held, device.type, self.dtype)


def cast_for_shards(model: nn.Module, held: Mapping[str, nn.Module], dtype: torch.dtype, mode: str) -> None:
    """Casts what `model` is called with to `dtype`, in which its weights are gathered. Raises Inapplicable where weights of
    norms, or of what is `held` in FP32, are among them."""
    norms = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    cast = next((name for name, module in (norms | dict(held)).items() if next(module.parameters(), None) is not None), None)
    if cast is not None:
        raise Inapplicable(f"fsdp casts all that it gathers, and {cast} is to stay in FP32 in {mode}")
    cast_inputs(model, dtype)


class ShardedFP16(Scaled, ShardedMasters):
    name = "fp16-manual"


class ShardedBF16(ShardedMasters):
    name = "bf16-manual"
    dtype = torch.bfloat16


SHARDED: dict[str, type[Precision]] = {kind.name: kind for kind in (ShardedFP16, ShardedBF16)}
"""By the name of the mode that each stands for."""
