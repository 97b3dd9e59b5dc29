"""Is mixed precision still faster, and does the step still learn?

On a GPU the mixed modes must beat those that the workload names; on a CPU speed is reported and nothing asserted of it.
"""

import pytest

from mpcore import gate

pytestmark = pytest.mark.speed


def test_speed(case, bench, baseline, judge):
    speed = bench.speed(case)
    expected = gate.speed_verdicts(speed, control=bench.is_control(case), rivals=bench.rivals(case))
    judge(speed, expected + baseline.verdicts(speed))
