"""A computation in FP64 whatever formats its author wrote: the yardstick's arithmetic."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map  # private API

from mpcore.device.functions import FunctionMode

WIDER = {
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float64),
    **dict.fromkeys((torch.complex32, torch.complex64), torch.complex128),
}
"""By each format what takes its place."""
CASTS = {Tensor.float, Tensor.half, Tensor.bfloat16}
IN_PLACE_OPERATORS = {"__iadd__", "__isub__", "__imul__", "__idiv__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__"}
OF_THE_TENSOR_ITSELF = {
    *(torch.autograd.grad, torch.autograd.backward, Tensor.backward, Tensor.retain_grad),
    *(Tensor.register_hook, Tensor.register_post_accumulate_grad_hook),
}
"""To these another tensor with the same values is a stranger: they look for it in the graph of what was computed."""
ACCESSORS = {"__get__", "__set__"}


class Widened(FunctionMode):
    """Within it each function of torch gets its floating-point tensors, and the formats that it is asked for, in FP64.

    A timestep's embedding, a table of cosines or a router may be kept in FP32 by its author. It would meet weights in FP64
    otherwise, and the two cannot be multiplied. What a function changes in place stays in its own format.
    """

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        name = getattr(func, "__name__", "")
        if name in ACCESSORS or func in OF_THE_TENSOR_ITSELF:
            return func(*args, **kwargs)
        if func in CASTS:
            return args[0].to(torch.float64)
        changed = args[:1] if _is_in_place(name) else ()
        written = {key: value for key, value in kwargs.items() if key == "out"}
        return func(*changed, *_widened(args[len(changed) :]), **_widened(kwargs) | written)


@contextmanager
def widened(mode: Widened) -> Iterator[None]:
    """Within it what is created without a format is in FP64, too."""
    found = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mode:
            yield
    finally:
        torch.set_default_dtype(found)


def widen(model: nn.Module) -> None:
    """Parameters and buffers of `model`, in place."""
    model._apply(lambda tensor: tensor.to(WIDER.get(tensor.dtype, tensor.dtype)))  # private API


def widen_inputs(model: nn.Module) -> None:
    """From now on the modules of `model` that have weights get their inputs in FP64: some look at them before they compute."""
    for module in model.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(_widened_inputs, with_kwargs=True)


def _widened_inputs(_: nn.Module, args: Any, kwargs: Any) -> Any:
    return _widened(args), _widened(kwargs)


def _widened(values: Any) -> Any:
    """The same nesting of containers, with its tensors and formats in FP64."""
    return tree_map(_wide, values)


def _wide(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(WIDER.get(value.dtype, value.dtype))
    return WIDER.get(value, value) if isinstance(value, torch.dtype) else value


def _is_in_place(name: str) -> bool:
    """`add_`, `__iadd__` and `__setitem__` change their first argument."""
    return (name.endswith("_") and not name.endswith("__")) or name == "__setitem__" or name in IN_PLACE_OPERATORS
