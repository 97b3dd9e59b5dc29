"""`fp16-forward`: the forward pass of linear and convolution layers in FP16, everything else, with their backward
pass and the update, in FP32. The "manual mixed precision" of S. Naik's "Turbocharging AI", as its text describes
it: the weights are cast at each use, and two thirds of the work stay FP32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.precision.base import Precision, precisions
from mpcore.precision.casting import matching
from mpcore.precision.errors import Inapplicable
from mpcore.records import Recipe


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(x.half(), weight.half(), None if bias is None else bias.half()).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gy,), (x, weight) = gradients, ctx.saved_tensors
        rows = gy.reshape(-1, gy.shape[-1])
        gx = gy @ weight if ctx.needs_input_grad[0] else None
        gw = rows.T @ x.reshape(-1, x.shape[-1]) if ctx.needs_input_grad[1] else None
        return gx, gw, rows.sum(0) if ctx.needs_input_grad[2] else None


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return F.conv2d(x.half(), weight.half(), None if bias is None else bias.half(), *how).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gy,), (x, weight), (stride, padding, dilation, groups) = gradients, ctx.saved_tensors, ctx.how
        alone = x.dim() == 3  # one sample, not in a batch
        batch = (gy[None], x[None]) if alone else (gy, x)
        gx, gw, gb = torch.ops.aten.convolution_backward(
            *batch, weight, [weight.shape[0]], stride, padding, dilation, False, [0, 0], groups, ctx.needs_input_grad[:3]
        )
        gx = gx[0] if alone and gx is not None else gx
        return gx, gw, gb, None, None, None, None


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return _Linear.apply(x, layer.weight, layer.bias)


def _conv2d(layer: nn.Conv2d, x: Tensor) -> Tensor:
    padding = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):  # padded as the layer itself pads
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode), (0, 0)  # private API
    return _Conv2d.apply(x, layer.weight, layer.bias, layer.stride, padding, layer.dilation, layer.groups)


_FORWARDS: dict[type[nn.Module], Callable[..., Tensor]] = {nn.Linear: _linear, nn.Conv2d: _conv2d}


@precisions.register
class FP16Forward(Precision):
    name = "fp16-forward"
    dtype = torch.float16
    low_precision_share = 0.1
    """Of a layer's three products one, and less where the loss itself holds a gradient."""
    on_request = True

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        super().prepare(model, recipe)
        layers = [module for module in model.modules() if type(module) in _FORWARDS]
        if not layers:
            raise Inapplicable("fp16-forward finds no nn.Linear and no nn.Conv2d whose forward pass could run in FP16")
        held = {inner for module in matching(model, self.keep_fp32).values() for inner in module.modules()}
        self._running = 0
        for layer in layers:
            if layer not in held:
                layer.forward = partial(self._forward, layer)

    def _forward(self, layer: nn.Module, input: Tensor) -> Tensor:  # by torch's name, for who calls it by name
        self._running += 1
        try:
            return _FORWARDS[type(layer)](layer, input)
        finally:
            self._running -= 1

    def fp32_on_purpose(self, given: Any = ()) -> bool:
        """Outside of the layers that this mode knows."""
        return not self._running
