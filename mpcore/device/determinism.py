"""Steps that come out the same each time, bit for bit.

Many kernels add in any order, such as flash attention's in its backward pass. torch has others that keep one order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mpcore.errors import root_cause

WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""Some versions of torch compute no matrix product in one order without it, and look for it before their first product."""
HOPPER = (9, 0)
LACKING = ("does not have a deterministic implementation", "is not deterministic because it uses CuBLAS")
"""In the words of torch, of a kernel that it has in no fixed order."""


def prepare_determinism(device: torch.device) -> None:
    """To be called before the first product of matrices. Older GPUs than Hopper stay as they are: torch gives cuBLAS another
    workspace there, and cuBLAS may choose other kernels for it."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= HOPPER:
        os.environ.setdefault(*WORKSPACE)


@contextmanager
def in_one_order() -> Iterator[None]:
    """Within it, torch computes by kernels of one order, and raises RuntimeError where it has none."""
    before = torch.get_deterministic_debug_mode()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def lacks_order(error: BaseException) -> str | None:
    """What torch has no kernel of one order for, in its words; None where the error is another."""
    first, *_ = str(root_cause(error)).splitlines() or [""]
    return next((first[: first.index(sign) + len(sign)] for sign in LACKING if sign in first), None)
