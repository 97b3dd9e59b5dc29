"""The precision modes, one file a mechanism; importing this package registers them all."""

from mpcore.precision import native, autocast, master, forward, pure, rounding, fp8  # noqa: I001  (the order of the tables)
from mpcore.precision.base import Precision, precisions
from mpcore.precision.errors import Inapplicable, PrecisionError
from mpcore.precision.scale import ScaleState
from mpcore.precision.variant import Variant

__all__ = [
    "Inapplicable",
    "Precision",
    "PrecisionError",
    "ScaleState",
    "Variant",
    "autocast",
    "forward",
    "fp8",
    "master",
    "native",
    "precisions",
    "pure",
    "rounding",
]
