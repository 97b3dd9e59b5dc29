"""`fp32` and `tf32`: everything stored in FP32; they differ in what the matrix units may do with it."""

import torch

from mpcore.device.machine import name_and_capability
from mpcore.precision.base import Precision, precisions


@precisions.register
class FP32(Precision):
    """IEEE single precision throughout: TF32 off for matrix products and for cuDNN, whose default is on."""

    name = "fp32"


@precisions.register
class TF32(Precision):
    """FP32 storage; matrix products and convolutions round their inputs to 10 bits of mantissa."""

    name = "tf32"
    tf32 = True

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"tf32 needs an NVIDIA GPU of compute capability 8.0 or later; this is a {device.type}"
        if torch.cuda.get_device_capability(device) < (8, 0):
            return f"tf32 needs compute capability 8.0 or later; this is {name_and_capability(device)}"
        return None
