"""Is mixed precision still faster, and does the step still learn?

On a GPU the mixed modes must beat those that the workload names; on a CPU speed is reported and nothing asserted of it.
"""

import pytest

pytestmark = pytest.mark.speed


def test_speed(case, measure, judge):
    judge(measure.speed(case))
