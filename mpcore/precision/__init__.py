"""The precision modes, one file a mechanism; importing this package registers them all."""

from mpcore.precision import native, autocast, master, forward, pure  # noqa: I001  (the order of the tables)
from mpcore.precision.base import Precision, ScaleState

__all__ = ["Precision", "ScaleState", "autocast", "forward", "master", "native", "pure"]
