"""Does a step still do the same? Its operations, casts, FLOPs, saved bytes, synchronisations and launches are counted, and
compared with accepted runs exactly. A count has no noise, on a GPU or without one."""

import pytest

pytestmark = pytest.mark.work


def test_work(case, measure, judge):
    judge(measure.work(case))
