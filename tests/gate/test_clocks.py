"""Times of runs whose clocks differ."""

import math

import numpy as np
import pytest
from made import gpu, step

from mpcore.gate.clocks import Clocks, at_one_clock, change_at_one_clock, clocks_of, still_clock
from mpcore.gate.intervals import change_since

PRIOR = 0.002
SURE = 0.99


def at(*mhz, limits=(), milliseconds=10.0):
    return step(milliseconds, gpu=gpu(*limits, mhz=mhz))


@pytest.mark.parametrize(
    ("speed", "clock"),
    [
        (at(1980, 1965, 1980), 1980),
        (at(1980, 1950), None),
        (at(1980, limits=("power cap",)), None),
        (at(), None),
        (step(10.0, gpu=None), None),
    ],
    ids=["within a step", "moved", "at the power limit", "not seen", "no NVML"],
)
def test_the_clock_of_a_case_is_the_one_that_stood_still(speed, clock):
    assert still_clock(speed) == clock


def test_clocks_count_where_all_are_known_and_differ():
    found = clocks_of([at(1980), at(1920)], at(1950))
    assert found is not None
    assert (*found.accepted, found.new) == pytest.approx(tuple(map(math.log, (1980, 1920, 1950))))
    assert clocks_of([at(1980), at(1965)], at(1980)) is None
    assert clocks_of([at(1980), at(1980, 1900)], at(1900)) is None
    assert clocks_of([at(1980)], at(1900, limits=("power cap",))) is None


def change(power, slower=0.0, clocks=(1980, 1920, 1860), new=1800):
    """Of a step that takes 1/clock^power as long."""
    logs = [-power * math.log(clock) for clock in clocks]
    given = Clocks(tuple(map(math.log, clocks)), math.log(new))
    return change_at_one_clock(logs, -power * math.log(new) + slower, PRIOR, given, SURE)


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0])
def test_accepted_runs_tell_how_far_a_step_follows_the_clock(power):
    low, centre, high = change(power)
    assert centre == pytest.approx(0, abs=2e-3)
    assert low < 0 < high < 0.015
    assert change(power, slower=0.03)[0] > 0.015


def test_one_accepted_run_leaves_open_what_a_clock_may_have_done():
    """The clock is 9.5 % slower, and so is the step: from no change to all of it."""
    low, centre, high = change(1.0, clocks=(1980,))
    assert -0.01 < low < 0.01
    assert centre == pytest.approx(math.log(1980 / 1800) / 2)
    assert high > 0.09
    faster, _, slower = change(0.0, clocks=(1980,), new=2100)
    assert faster < 0 < slower  # a faster clock that leaves a step as it was hides a change


def test_where_clocks_are_one_it_is_the_interval_of_runs():
    times = [0.010, 0.01004, 0.00998]
    usual = change_since(times, 0.0102, PRIOR, SURE)
    clock = math.log(1980)
    found = change_at_one_clock(np.log(times).tolist(), math.log(0.0102), PRIOR, Clocks((clock,) * 3, clock), SURE)
    assert found == pytest.approx((usual.low, usual.centre, usual.high), abs=1e-9)


def test_bounds_hold_as_often_as_they_say():
    """Steps whose power is drawn as it is assumed, and clocks that wander by 2 %."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        power, clocks = rng.uniform(0, 1), rng.uniform(-0.02, 0.02, 4)
        logs = -power * clocks + PRIOR * rng.standard_normal(4)
        low, _, _ = change_at_one_clock(logs[:3].tolist(), float(logs[3]), PRIOR, Clocks(tuple(clocks[:3]), clocks[3]), 0.9)
        held += low <= 0
    assert held / 400 == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(("power", "left"), [(0.5, 0.0), (2.0, 1.0), (-1.0, 1.0)])
def test_runs_are_put_at_one_clock_by_a_power_from_0_to_1(power, left):
    clocks = np.log([1980, 1920, 1860])
    off = clocks - clocks.mean()
    assert at_one_clock(-power * clocks, clocks) + power * clocks.mean() == pytest.approx(math.copysign(left, -power) * off)
