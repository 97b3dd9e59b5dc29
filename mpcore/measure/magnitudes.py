"""The terms of a loss: one near 0 is no more exact than what it is the sum of."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API

from mpcore.measure.draws import name_of

SUMS = {"sum", "nansum", "mean", "dot"}
SAME = {"_to_copy", "clone", "neg"}


class Magnitudes(TorchDispatchMode):
    """with Magnitudes() as magnitudes: loss = ...
    magnitudes.of(loss)

    Of each number that is the sum of others, as a loss is, it keeps what these come to without their signs. Of any other that
    is the number without its sign.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, tuple[Tensor, float]] = {}
        """By its address, which no other takes while the number is held."""

    def of(self, number: Any) -> float:
        known = self._found.get(number.data_ptr()) if isinstance(number, Tensor) else None
        return abs(number.item() if isinstance(number, Tensor) else number) if known is None else known[1]

    @torch.no_grad()
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, name_of(func)
        magnitude = self._magnitude(name.removesuffix("_"), func, args, kwargs) if _is_real(args) else None
        out = func(*args, **kwargs)
        if _is_real([out]) and not out.dim():
            if magnitude is not None:
                self._found[out.data_ptr()] = out, magnitude
            elif name.endswith("_"):
                self._found.pop(out.data_ptr(), None)
        return out

    def _magnitude(self, name: str, func: Any, args: Any, kwargs: Any) -> float | None:
        """None where the result is no sum of others, or is not one number."""
        if name in SUMS:
            total = func(*(x.abs() if isinstance(x, Tensor) else x for x in args), **kwargs)
            return None if total.dim() else float(total)
        if any(isinstance(x, Tensor) and x.dim() for x in args):
            return None
        if name in ("add", "sub"):
            return self.of(args[0]) + abs(kwargs.get("alpha", 1)) * self.of(args[1])
        if name == "rsub":
            return self.of(args[1]) + abs(kwargs.get("alpha", 1)) * self.of(args[0])
        if name == "mul":
            return self.of(args[0]) * self.of(args[1])
        if name == "div":
            return self.of(args[0]) / abs(float(args[1])) if args[1] else None
        return self.of(args[0]) if name in SAME else None


def _is_real(values: Any) -> bool:
    """Whether the first is a dense tensor of real numbers."""
    first = next(iter(values), None)
    return isinstance(first, Tensor) and first.is_floating_point() and first.layout == torch.strided
