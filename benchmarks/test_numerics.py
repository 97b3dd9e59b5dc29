"""Does mixed precision still compute the same? Loss, gradient and the sum of the first updates against FP64. They show a wrong
cast, a dead loss scale and lost master weights that a training forgives."""

import pytest

pytestmark = pytest.mark.numerics


def test_numerics(case, measure, judge):
    judge(measure.numerics(case))
