"""Models, and what they are called with, in another dtype; and modules that stay in FP32."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map  # private API


def cast_floats(values: Any, dtype: torch.dtype) -> Any:
    """`values`, any nesting of containers, with its floating-point tensors in `dtype`."""
    return tree_map(lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x, values)


def cast_module_inputs(model: nn.Module, dtype: torch.dtype) -> None:
    """From now on all modules with weights in `dtype` get their floating-point inputs in it, too."""
    for module in model.modules():
        if any(weight.dtype == dtype for weight in module.parameters(recurse=False)):
            cast_inputs(module, dtype)


def cast_inputs(model: nn.Module, dtype: torch.dtype) -> None:
    """From now on `model` gets its floating-point inputs in `dtype`, whatever the batch holds."""

    def cast(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return cast_floats(args, dtype), cast_floats(kwargs, dtype)

    model.register_forward_pre_hook(cast, with_kwargs=True)


def matching(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Module]:
    """By qualified name, the outermost modules whose names match, and those that share weights with them. A container that is
    never called stands for its children. Raises ValueError for a pattern that matches none, and for one that matches a
    module whose weights another one uses itself."""
    names = dict(model.named_modules())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names if name):
            raise ValueError(
                f"keep_fp32: no module of {type(model).__name__} matches {pattern!r}; names look like {list(names)[-1]!r}"
            )
    chosen = {n for name in names if name and any(fnmatchcase(name, p) for p in patterns) for n in _called(name, names)}
    inner = {name for name in chosen if any(name.startswith(f"{outer}.") for outer in chosen)}
    outermost = {name: names[name] for name in names if name in chosen - inner}
    for name in outermost:
        owner = name.rpartition(".")[0]
        if isinstance(names[owner], nn.MultiheadAttention):
            raise ValueError(
                f"keep_fp32: {name!r} is never called, for its nn.MultiheadAttention uses the weights itself: "
                f"expected {owner or type(model).__name__!r} as a whole"
            )
    within = {module for outer in outermost.values() for module in outer.modules()}
    weights = {weight for module in within for weight in module.parameters(recurse=False)}
    tied = {name: m for name, m in names.items() if m not in within and not weights.isdisjoint(m.parameters(recurse=False))}
    return outermost | tied


def _called(name: str, names: dict[str, nn.Module]) -> list[str]:
    """The module itself; or its children, where it has no forward."""
    if type(names[name]).forward is not nn.Module.forward:
        return [name]
    return [inner for child, _ in names[name].named_children() for inner in _called(f"{name}.{child}", names)]


@dataclass
class Kept:
    """A module that computes in FP32. `reached`: whether a gradient has come to its weights. `as_called`: whether it hands on
    FP32 where it is called in FP32, for its author casts what goes in, and what comes out."""

    name: str
    module: nn.Module
    called: bool = False
    reached: bool = False
    running: bool = False
    as_called: bool = False


def hold_fp32(held: Mapping[str, nn.Module], device_type: str, output: torch.dtype | None = None) -> list[Kept]:
    """The modules in `held`, whose weights are FP32, compute in FP32 from now on, and hand their outputs on in `output`."""
    return [_hold(Kept(name, module), device_type, output) for name, module in held.items()]


def _hold(kept: Kept, device_type: str, output: torch.dtype | None) -> Kept:
    inner = kept.module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        kept.called = kept.running = True
        try:
            with torch.autocast(device_type, enabled=False):
                result = inner(*cast_floats(args, torch.float32), **cast_floats(kwargs, torch.float32))
        finally:
            kept.running = False
        return result if output is None or (kept.as_called and _all_fp32((args, kwargs))) else cast_floats(result, output)

    def reach(_: Tensor) -> None:
        kept.reached = True

    kept.module.forward = forward
    for weight in kept.module.parameters():
        if weight.requires_grad:
            weight.register_hook(reach)
    return kept


def _all_fp32(values: Any) -> bool:
    """Whether there is a floating-point tensor among them, and none in another format."""
    return {x.dtype for x in tree_leaves(values) if isinstance(x, Tensor) and x.is_floating_point()} == {torch.float32}


def cast_model(model: nn.Module, dtype: torch.dtype, keep: Iterable[nn.Module]) -> None:
    """Casts parameters and buffers in place, but for the modules in `keep` and what is inside them."""
    kept = {inner for module in keep for inner in module.modules()}
    for module in model.modules():
        if module not in kept:
            module._apply(lambda t: t.to(dtype) if t.is_floating_point() else t, recurse=False)  # private API
