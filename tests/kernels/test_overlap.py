"""Lengths of spans that overlap, on spans that anybody can add up."""

import pytest

from mpcore.kernels.intervals import covered, within


@pytest.mark.parametrize(
    ("spans", "others", "union", "common"),
    [
        ([], [(0, 1)], 0, 0),
        ([(0, 2), (1, 3), (5, 6)], [], 4, 0),
        ([(0, 10)], [(1, 2), (3, 5)], 10, 3),
        ([(4, 6), (0, 2), (1, 3)], [(2, 5)], 5, 2),
        ([(0, 1), (1, 2)], [(0, 2), (0.5, 1.5)], 2, 2),
    ],
)
def test_what_overlaps_counts_once(spans, others, union, common):
    assert covered(spans) == union
    assert within(spans, others) == common
    assert within(others, spans) == common
