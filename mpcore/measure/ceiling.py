"""What this GPU reaches: its matrix units in a mode's format, the denominator of its share of the ceiling; and its memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mpcore.measure.timing import block_seconds
from mpcore.precision import Precision

SIZE = 8192
COPIED = 2**28
"""Bytes: several times what a GPU keeps in its cache."""
SECONDS = 0.1


def matmul_flops(precision: Precision, device: torch.device) -> float | None:
    """FLOP/s of a product of two random matrices of 8192 x 8192, stored and multiplied as `precision` does; None on a CPU.

    Random, because a product of zeros runs faster: it takes less power.
    """
    if device.type != "cuda":
        return None
    a, b = (torch.randn(SIZE, SIZE, device=device, dtype=precision.dtype) for _ in range(2))
    out = torch.empty_like(a)
    with precision.settings():
        return 2 * SIZE**3 * _per_second(lambda _: torch.mm(a, b, out=out), device)


def copied_bytes(device: torch.device) -> float | None:
    """Bytes per second, read and written, of a copy of 256 MiB within its memory; None on a CPU."""
    if device.type != "cuda":
        return None
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED * _per_second(lambda _: target.copy_(source), device)


def _per_second(launch: Callable[[Any], Tensor], device: torch.device) -> float:
    first = min(block_seconds(launch, {}, 1, device) for _ in range(3))
    launches = max(3, round(SECONDS / first))
    return launches / min(block_seconds(launch, {}, launches, device) for _ in range(2))
