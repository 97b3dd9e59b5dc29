"""Counts the floating-point operations of matrix products, convolutions and attention by the dtype they run in: what
a mode really computes in, whatever its name says. Formulas: torch.utils.flop_counter."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

LOW_PRECISION = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
"""16 bits, or fewer."""


def _cpu_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _cpu_attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,  # private API
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,  # private API
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


class FlopCount(TorchDispatchMode):
    """with FlopCount() as flops: step.launch(batch)

    What torch.compile made of a model is passed over: the operations that it stands for are counted.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.by_dtype: Counter[torch.dtype] = Counter()

    def __enter__(self) -> "FlopCount":
        self._uncompiled = torch.compiler.set_stance("force_eager")
        self._uncompiled.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._uncompiled.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if counted := flops_of(func, args, kwargs, out):
            self.by_dtype[counted[0]] += counted[1]
        return out

    @property
    def total(self) -> int:
        return sum(self.by_dtype.values())

    @property
    def low_precision_share(self) -> float:
        return low_precision_share(self.by_dtype)
