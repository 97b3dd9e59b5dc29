"""What must be reached, one file a kind of record."""

from mpcore.gate.checks.check import SPEEDUP
from mpcore.gate.checks.of_record import checks
from mpcore.gate.checks.speed import speedup

__all__ = ["SPEEDUP", "checks", "speedup"]
