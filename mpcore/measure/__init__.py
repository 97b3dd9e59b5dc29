"""One case in, one record out: `Bench` measures speed, quality and numerics on one device."""

from mpcore.measure.bench import Bench
from mpcore.measure.failure import Failed, explained

__all__ = ["Bench", "Failed", "explained"]
