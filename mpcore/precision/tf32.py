"""The process-wide TF32 switches: set while a step runs, and put back whatever happens.

They are set by torch's legacy setters. After one of the newer `fp32_precision` attributes is written for matrix products,
reading a legacy one raises, and inductor reads them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tf32_switches(on: bool) -> Iterator[None]:
    """Within it, matrix products, convolutions and recurrent layers round their inputs to TF32, or compute in IEEE FP32."""
    cudnn: Any = torch.backends.cudnn  # whose newer attributes type checkers do not know
    put_back_products, put_back_layers = _products(), _layers()
    try:
        torch.set_float32_matmul_precision("high" if on else "highest")
        cudnn.allow_tf32 = on
        if not on:  # off means "as all of torch", for which a program may have TF32 on
            cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
        yield
    finally:
        put_back_products()
        put_back_layers()


def _products() -> Callable[[], None]:
    """A function that puts the switch of matrix products back as it is now, by whichever of torch's two interfaces set it."""
    matmul: Any = torch.backends.cuda.matmul
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:  # the newer attribute was written
        newer = matmul.fp32_precision
        return lambda: setattr(matmul, "fp32_precision", newer)
    return lambda: torch.set_float32_matmul_precision(legacy)


def _layers() -> Callable[[], None]:
    """The same of those of convolutions and recurrent layers."""
    cudnn: Any = torch.backends.cudnn
    try:
        legacy = cudnn.allow_tf32
    except RuntimeError:
        newer = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision

        def put_back() -> None:
            cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = newer

        return put_back
    return lambda: setattr(cudnn, "allow_tf32", legacy)
