"""Counts the floating-point operations of matrix products, convolutions and attention by the dtype they run in. It shows what a
mode really computes in, whatever its name says. Formulas: torch.utils.flop_counter."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from mpcore.device.functions import FunctionMode

FP32_ALONE = re.compile("linalg|cholesky|cdist|euclideandist|sparse", re.IGNORECASE)
"""In the names of functions, and of their nodes in a graph, that have no kernels in 16 bits in torch, or stay in FP32 under
autocast. What they compute in FP32 is no choice of a mode."""
LOW_PRECISION = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
"""16 bits, or fewer."""


def _grouped(other: Tensor, query: Tensor) -> torch.Size:
    """Shape of keys or values with as many heads as the query has. torch 2.11 counts no attention whose queries share keys in
    groups, and fails."""
    return torch.Size((*other.shape[:-3], query.shape[-3], *other.shape[-2:]))


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, _grouped(key, query), _grouped(value, query))


def _attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, _grouped(key, query), _grouped(value, query))


aten = torch.ops.aten
FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention: _attention,  # private API
    aten._scaled_dot_product_flash_attention_backward: _attention_backward,  # private API
    aten._scaled_dot_product_efficient_attention: _attention,  # private API
    aten._scaled_dot_product_efficient_attention_backward: _attention_backward,  # private API
    aten._scaled_dot_product_cudnn_attention: _attention,  # private API
    aten._scaled_dot_product_cudnn_attention_backward: _attention_backward,  # private API
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,  # private API
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,  # private API
}


def flops_of(func: Any, args: Any, kwargs: Any, out: Any) -> tuple[torch.dtype, int] | None:
    """The format that an operation computes in, and its FLOPs; None where it is not counted."""
    formula = FORMULAS.get(getattr(func, "_overloadpacket", func))  # an operator of higher order has none
    if formula is None:
        return None
    first = next(x for x in tree_leaves(args) if isinstance(x, Tensor))
    dtype = getattr(first, "_data", first).dtype  # torchao's FP8 tensors give out the dtype that they stand for
    return dtype, formula(*args, **kwargs, out_val=out)


def low_precision_share(by_dtype: Mapping[torch.dtype, int]) -> float:
    """The share of FLOPs in 16 bits or fewer, 0 where there was nothing to count."""
    return sum(by_dtype.get(dtype, 0) for dtype in LOW_PRECISION) / max(sum(by_dtype.values()), 1)


class Updates:
    """with Updates() as updates: step.launch(batch)

    `running` while an optimiser steps: what it computes in is its own affair, such as Muon's products in BF16, and not the
    mode's.
    """

    def __enter__(self) -> "Updates":
        self.running = False
        begin, end = register_optimizer_step_pre_hook(self._begin), register_optimizer_step_post_hook(self._end)
        self._handles = begin, end
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _begin(self, *_: Any) -> None:
        self.running = True

    def _end(self, *_: Any) -> None:
        self.running = False


class FlopCount(TorchDispatchMode):
    """with FlopCount() as flops: step.launch(batch)

    Those of the optimiser are left out, and what torch computes in FP32 alone.

    What torch.compile made of a model is passed over: the operations that it stands for are counted.

    on_purpose: whether what is called now is meant to compute in FP32, asked at each function of torch, with its arguments.
    """

    supports_higher_order_operators = True

    def __init__(self, on_purpose: Callable[[Any], bool] = lambda _: False) -> None:
        super().__init__()
        self.by_dtype: Counter[torch.dtype] = Counter()
        self._forward = self._on_purpose = 0
        self._asked = _Asked(on_purpose)

    def __enter__(self) -> "FlopCount":
        with ExitStack() as stack:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(self._asked)
            self._updates = stack.enter_context(Updates())
            super().__enter__()
            self._watching = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._watching.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        counted = None if self._updates.running else flops_of(func, args, kwargs, out)
        if counted:
            dtype, flops = counted
            node = torch._C._current_autograd_node()  # private API; None but in a backward pass
            if dtype.is_complex:  # of which 16 bits have none
                return out
            if dtype == torch.float32 and FP32_ALONE.search(node.name() if node else self._asked.name):
                return out
            self.by_dtype[dtype] += flops
            if node is None:
                self._forward += flops
                self._on_purpose += flops if dtype == torch.float32 and self._asked.answer else 0
        return out

    @property
    def total(self) -> int:
        return sum(self.by_dtype.values())

    @property
    def low_precision_share(self) -> float:
        return low_precision_share(self.by_dtype)

    @property
    def fp32_on_purpose(self) -> float:
        """The share of the forward pass's FLOPs that are in FP32 on purpose."""
        return self._on_purpose / max(self._forward, 1)


class _Asked(FunctionMode):
    """Keeps name and answer of the function of torch that runs now: below it, autocast looks as if it were off."""

    def __init__(self, question: Callable[[Any], bool]) -> None:
        super().__init__()
        self.question = question
        self.answer = False
        self.name = ""

    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        self.answer, self.name = self.question((args, kwargs)), getattr(func, "__name__", "")
        return func(*args, **kwargs)
