"""Is mixed precision still as accurate? Every mode is trained to the end of the recipe from the same three seeds as FP32,
over the same data in the same order."""

import pytest

from mpcore import gate

pytestmark = pytest.mark.accuracy


def test_accuracy(case, bench, baseline, judge):
    quality, reference = bench.quality(case), bench.quality(case.in_precision("fp32"))
    expected = gate.quality_verdicts(quality, reference, **bench.accuracy_terms(case))
    judge(quality, expected + baseline.verdicts(quality))
