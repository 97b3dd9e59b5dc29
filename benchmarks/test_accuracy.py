"""Is mixed precision still as accurate? Every mode is trained to the end of the recipe from the same three seeds as FP32,
over the same data in the same order."""

import pytest

pytestmark = pytest.mark.accuracy


def test_accuracy(case, measure, judge):
    judge(measure.accuracy(case))
