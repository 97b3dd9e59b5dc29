"""The 16-bit format of a kernel, from its name alone."""

import re
from collections.abc import Iterable
from typing import Literal

from mpcore.kernels.classify import classify
from mpcore.records import Kernel

Half = Literal["FP16", "BF16"]

NVJET = re.compile(r"nvjet(?:_sm\d+)?_([ht])")
BF16 = re.compile(r"bf16|[Bb][Ff]loat16")
FP16 = re.compile(r"[Hh]alf|f16|fp16|h\d+gemm")
"""Where BF16 is not named."""
PRODUCTS = ("matrix product", "convolution")
"""Families. cuDNN's attention is called f16 in either format."""


def half_of(name: str) -> Half | None:
    """None where the name tells none."""
    if letter := NVJET.search(name):
        return "FP16" if letter[1] == "h" else "BF16"
    return "BF16" if BF16.search(name) else "FP16" if FP16.search(name) else None


def halves_of_products(kernels: Iterable[Kernel]) -> dict[Half, str]:
    """The 16-bit formats that matrix products and convolutions are in, each with the name of the first such kernel."""
    found: dict[Half, str] = {}
    for kernel in kernels:
        half = half_of(kernel.name) if classify(kernel.name)[0] in PRODUCTS else None
        if half is not None:
            found.setdefault(half, kernel.name)
    return found
