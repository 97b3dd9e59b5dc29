"""One case in, one record out: `Bench` measures speed, quality and numerics on one device."""

from mpcore.measure.bench import Bench

__all__ = ["Bench"]
