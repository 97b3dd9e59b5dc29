"""Random numbers that a model or a loss draws: the same in every format, so that errors against FP64 hold none of them.

Only what is observed is run so, and never a step that is timed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API

from mpcore.precision.casting import cast_floats
from mpcore.training.base import Step
from mpcore.training.generators import generators, seed_everything
from mpcore.training.of_workload import WorkloadStep

SEED = 0
LIKE_NUMBERS = {"rand", "randn", "normal", "randint", "randperm"}
LIKE_TENSORS = {"rand_like", "randn_like", "randint_like"}
DISTRIBUTIONS = {"bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "random", "uniform"}
OF_PARAMETERS = {"binomial", "multinomial", "poisson", "_sample_dirichlet", "_standard_gamma"}
DRAWS = LIKE_NUMBERS | LIKE_TENSORS | DISTRIBUTIONS | OF_PARAMETERS | {f"{name}_" for name in DISTRIBUTIONS}
"""Operations of aten that draw, and do nothing else. Kernels with a dropout inside them compute as well."""


UNIFORM = {"rand", "rand_like", "uniform_"}
STEPS = 32
"""Of numbers between 0 and 1. Their middles are the same in all formats. None is so near to 0.05, 0.1, 0.15 and so on that
BF16 would round it there."""


class DrawnInFP32(TorchDispatchMode):
    """Within it, random numbers of any floating-point format are drawn in FP32 and then cast: torch draws others in FP64. Those
    between 0 and 1 are such that no cast rounds them: what they are compared with would drop others in each format."""

    supports_higher_order_operators = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name not in DRAWS:
            return func(*args, **kwargs)
        in_fp32, options = cast_floats(args, torch.float32), cast_floats(kwargs, torch.float32)
        if name.endswith("_"):
            drawn = self._in_few_digits(name, func(*in_fp32, **options), args, kwargs)
            return args[0] if drawn is args[0] else args[0].copy_(drawn)
        dtype = kwargs.get("dtype") or _dtype_of(name, args)
        if dtype.is_floating_point and any(argument.name == "dtype" for argument in func._schema.arguments):  # private API
            options["dtype"] = torch.float32
        return cast_floats(self._in_few_digits(name, func(*in_fp32, **options), args, kwargs), dtype)

    def _in_few_digits(self, name: str, drawn: Any, args: Any, kwargs: Any) -> Any:
        """In place. Left as it is where it is not between 0 and 1."""
        bounds = (*args[1:], *kwargs.values()) if name == "uniform_" else ()
        if name in UNIFORM and isinstance(drawn, Tensor) and drawn.is_floating_point() and tuple(bounds) in ((), (0, 1)):
            drawn.div_(1 / STEPS, rounding_mode="floor").add_(0.5).div_(STEPS)  # in no operation more digits than six
        return drawn


def draws(step: Step, batch: Any) -> bool:
    """Whether it draws from the generators of torch, NumPy or Python in one step, which Python launches."""
    before = tree_leaves(generators(step.device))
    step.launch(batch)
    pairs = zip(before, tree_leaves(generators(step.device)), strict=True)
    return not all(torch.equal(was, now) if isinstance(was, Tensor) else was == now for was, now in pairs)


def name_of(func: Any) -> str:
    """Of an operation of aten; "" where it has none, as one of higher order."""
    return func._schema.name.removeprefix("aten::") if hasattr(func, "_schema") else ""  # private API


def _dtype_of(name: str, args: Any) -> torch.dtype:
    """Of what is drawn where none is asked for."""
    likes = [x.dtype for x in tree_leaves(args) if isinstance(x, Tensor)]
    if likes:
        return likes[0]
    return torch.int64 if name in ("randint", "randperm") else torch.get_default_dtype()


@contextmanager
def same_numbers(step: WorkloadStep) -> Iterator[None]:
    """Within it, each part of a step draws the same numbers. The generators of torch, NumPy and Python start from one seed
    before each, and what is drawn is the same in every format. Not for a step that is captured, in which no generator can be
    set."""
    vars(step)["before_loss"] = lambda: seed_everything(SEED)
    try:
        with DrawnInFP32():
            yield
    finally:
        del vars(step)["before_loss"]
