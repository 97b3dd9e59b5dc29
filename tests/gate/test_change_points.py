"""Where a series changed, and stayed so."""

import numpy as np
import pytest

from mpcore.gate import change_points
from mpcore.gate.limits import TREND_LEAST_CHANGE, TREND_LEAST_RUNS


def steps(rng, noise, *levels):
    """A series of (runs, level), with noise."""
    return np.concatenate([level * np.exp(noise * rng.standard_normal(runs)) for runs, level in levels])


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_changes_are_found_where_they_are(rng):
    found = change_points(steps(rng, 0.0015, (300, 10.0), (200, 10.15), (500, 10.0)))
    assert [point.index for point in found] == [300, 500]
    assert [point.ratio for point in found] == [pytest.approx(1.015, abs=0.001), pytest.approx(1 / 1.015, abs=0.001)]
    assert found[0].before == pytest.approx(10.0, rel=1e-3)


def test_noise_has_no_changes(rng):
    """Of five hundred series of a night each, over a year."""
    assert [len(change_points(steps(rng, 0.003, (365, 10.0)))) for _ in range(500)].count(0) >= 495


def test_a_change_is_known_after_three_runs(rng):
    series = steps(rng, 0.0015, (200, 10.0), (TREND_LEAST_RUNS, 10.3))
    assert [point.index for point in change_points(series)] == [200]
    assert change_points(series[:-1]) == []


def test_one_odd_run_is_no_change(rng):
    series = steps(rng, 0.0015, (400, 10.0))
    series[[100, 250, 251]] *= 0.947
    assert change_points(series) == []


def test_counts_that_repeat_change_at_once():
    assert [(p.index, p.before, p.after) for p in change_points([59.0] * 50 + [60.0] * 50)] == [(50, 59.0, 60.0)]
    assert change_points([59.0] * 100) == []


def test_a_figure_that_begins_at_nothing_has_no_ratio():
    (point,) = change_points([0.0] * 50 + [3.0] * 50)
    assert (point.index, point.ratio) == (50, None)


@pytest.mark.parametrize("share", [TREND_LEAST_CHANGE / 2, 2 * TREND_LEAST_CHANGE])
def test_what_is_too_small_is_not_worth_a_word(share):
    assert len(change_points([10.0] * 100 + [10.0 * (1 + share)] * 100)) == (share > TREND_LEAST_CHANGE)


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0, 1.0, 2.0, 1.0]])
def test_a_short_series_says_nothing(series):
    assert change_points(series) == []
