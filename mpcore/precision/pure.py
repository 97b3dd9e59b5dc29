"""`fp16-true` and `bf16-true`: weights, arithmetic, gradients and optimiser state all in 16 bits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from mpcore.device.functions import follow
from mpcore.precision.base import Precision, precisions
from mpcore.precision.casting import Kept, cast_inputs, cast_model, hold_fp32, matching
from mpcore.precision.widened import Widened, widen, widen_inputs, widened
from mpcore.records import Recipe


def cast_wholly(model: nn.Module, dtype: torch.dtype, keep_fp32: tuple[str, ...]) -> list[Kept]:
    """`model.to(dtype)`, with its inputs, but for the modules that `keep_fp32` matches, which are returned."""
    held = matching(model, keep_fp32)
    cast_model(model, dtype, held.values())
    cast_inputs(model, dtype)
    return hold_fp32(held, next(model.parameters()).device.type, dtype)


class Pure(Precision):
    low_precision_share = 0.95
    casts = True
    masters = False
    loses_updates = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        self.kept = cast_wholly(model, self.dtype, self.keep_fp32)
        super().prepare(model, recipe)


@precisions.register
class FP16True(Pure):
    """The negative control, as `model.half()` and torch's default optimiser make it. Adam's eps of 1e-8 rounds to 0 and its
    second moment underflows, so that a gradient of zero is divided by zero. (The fused kernel computes in FP32 and stays
    finite, but an update of 5e-5 never moves a weight of 1.)"""

    name = "fp16-true"
    dtype = torch.float16
    negative_control = True
    on_request = True
    fused = False


@precisions.register
class BF16True(Pure):
    """Finite, but an update smaller than 1/256 of its weight is lost."""

    name = "bf16-true"
    dtype = torch.bfloat16


class FP64(Precision):
    """No mode of the suite: the yardstick that errors are measured against.

    The model is built in FP32 from the seed, which gives other weights in FP64, and cast then.
    """

    name = "fp64"
    dtype = torch.float64

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        widen(model)
        widen_inputs(model)
        self._mode = Widened()
        self._forward: ExitStack | None = None
        follow(self._mode, model)
        for module in model.modules():
            module.register_forward_pre_hook(self._widen, prepend=True)
        super().prepare(model, recipe)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """What comes before the model, such as how a batch is normalised, is as in every mode. From the first module to the end
        of the loss all is in FP64."""
        try:
            with ExitStack() as self._forward:
                yield
        finally:
            self._forward = None

    def _widen(self, *_: Any) -> None:
        if self._forward is not None and not self._mode.is_on:
            self._forward.enter_context(widened(self._mode))
