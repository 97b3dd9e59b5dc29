"""Does mixed precision still compute the same? Loss, gradient and the sum of the first updates against FP64, which show a
wrong cast, a dead loss scale and lost master weights that a training forgives."""

import pytest

from mpcore import gate

pytestmark = pytest.mark.numerics


def test_numerics(case, bench, baseline, judge):
    numerics = bench.numerics(case)
    expected = gate.numerics_verdicts(numerics, bench.limits(case), control=bench.is_control(case))
    judge(numerics, expected + baseline.verdicts(numerics))
