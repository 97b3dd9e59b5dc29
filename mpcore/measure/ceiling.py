"""What the matrix units of this GPU reach in a mode's format: the denominator of its share of the ceiling."""

import torch

from mpcore.measure.timing import block_seconds
from mpcore.precision import Precision

SIZE = 8192
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
        first = min(block_seconds(lambda _: torch.mm(a, b, out=out), {}, 1, device) for _ in range(3))
        products = max(3, round(SECONDS / first))
        seconds = min(block_seconds(lambda _: torch.mm(a, b, out=out), {}, products, device) for _ in range(2))
    return 2 * SIZE**3 * products / seconds
