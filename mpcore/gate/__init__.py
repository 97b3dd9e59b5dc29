"""From a record to verdicts, each with one sentence. Pure functions: they read no file and know no device.

`expected`: what a mode must reach by itself, such as to be faster than FP32. `compared`: whether it got worse since runs
that were accepted.
"""

from mpcore.gate.compared import ACCEPT, common_change, compared, expected_seconds
from mpcore.gate.confirmed import confirmed
from mpcore.gate.expected import numerics_verdicts, parity_verdicts, quality_verdicts, speed_verdicts, speedup
from mpcore.gate.since import Since, since

__all__ = [
    "ACCEPT",
    "Since",
    "common_change",
    "compared",
    "confirmed",
    "expected_seconds",
    "numerics_verdicts",
    "parity_verdicts",
    "quality_verdicts",
    "since",
    "speed_verdicts",
    "speedup",
]
