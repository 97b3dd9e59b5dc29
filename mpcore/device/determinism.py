"""Steps that come out the same each time, bit for bit.

Many kernels add in any order, such as flash attention's in its backward pass. torch has others that keep one order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

from mpcore.errors import root_cause, where

VARIABLE, WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""Some versions of torch compute no matrix product in one order without it, and look for it before their first product."""
HOPPER = (9, 0)
LACKING = "does not have a deterministic implementation"
"""In the words of torch, of a kernel that it has in no fixed order."""
OF_CUBLAS = "is not deterministic because it uses CuBLAS"


def prepare_determinism(device: torch.device) -> None:
    """To be called before the first product of matrices. On Hopper it changes nothing, for torch gives cuBLAS such a workspace
    there. Other GPUs stay as they are: with another workspace cuBLAS may choose other kernels."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) == HOPPER:
        os.environ.setdefault(VARIABLE, WORKSPACE)


@contextmanager
def in_one_order() -> Iterator[None]:
    """Within it, torch computes by kernels of one order, and raises RuntimeError where it has none. What is compiled later is
    compiled as before: `torch.use_deterministic_algorithms` would change that for good. torch is not to fill new memory: a step
    that reads what nobody wrote would seem to repeat."""
    before = torch.get_deterministic_debug_mode()
    filled: bool = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_deterministic_debug_mode("error")
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def lacks_order(error: BaseException) -> str | None:
    """What torch has no kernel of one order for, and the line; None where the error is another."""
    cause = root_cause(error)
    first, *_ = str(cause).splitlines() or [""]
    if OF_CUBLAS in first:
        return f"torch computes matrix products in one order with {VARIABLE}={WORKSPACE} alone"
    return f"{first[: first.index(LACKING)]}{LACKING}{where(cause)}" if LACKING in first else None
