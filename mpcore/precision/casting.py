"""Models, and what they are called with, in another dtype; and modules that stay in FP32."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map  # private API


def cast_floats(values: Any, dtype: torch.dtype) -> Any:
    """`values`, any nesting of containers, with its floating-point tensors in `dtype`."""
    return tree_map(lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x, values)


def cast_inputs(model: nn.Module, dtype: torch.dtype) -> None:
    """From now on `model` gets its floating-point inputs in `dtype`, whatever the batch holds."""

    def cast(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return cast_floats(args, dtype), cast_floats(kwargs, dtype)

    model.register_forward_pre_hook(cast, with_kwargs=True)


def matching(model: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """The outermost modules whose qualified names match, and those that share weights with them. Raises ValueError for a
    pattern that matches none."""
    names = dict(model.named_modules())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names if name):
            raise ValueError(
                f"keep_fp32: no module of {type(model).__name__} matches {pattern!r}; names look like {list(names)[-1]!r}"
            )
    chosen = {name for name in names if name and any(fnmatchcase(name, pattern) for pattern in patterns)}
    inner = {name for name in chosen if any(name.startswith(f"{outer}.") for outer in chosen)}
    outermost = [names[name] for name in names if name in chosen - inner]
    within = {module for outer in outermost for module in outer.modules()}
    weights = {weight for module in within for weight in module.parameters(recurse=False)}
    tied = [m for m in model.modules() if m not in within and not weights.isdisjoint(m.parameters(recurse=False))]
    return [*outermost, *tied]


def hold_fp32(module: nn.Module, device_type: str, output: torch.dtype | None = None) -> None:
    """`module`, whose weights are FP32, computes in FP32 from now on, and hands its output on in `output`."""
    inner = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device_type, enabled=False):
            result = inner(*cast_floats(args, torch.float32), **cast_floats(kwargs, torch.float32))
        return result if output is None else cast_floats(result, output)

    module.forward = forward


def cast_model(model: nn.Module, dtype: torch.dtype, keep: Sequence[nn.Module]) -> None:
    """Casts parameters and buffers in place, but for the modules in `keep` and what is inside them."""
    kept = {inner for module in keep for inner in module.modules()}
    for module in model.modules():
        if module not in kept:
            module._apply(lambda t: t.to(dtype) if t.is_floating_point() else t, recurse=False)  # private API
