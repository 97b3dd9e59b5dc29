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
        (at(1980, limits=("thermal slowdown",)), None),
        (at(1980, limits=("applications clocks",)), 1980),
        (at(), None),
        (step(10.0, gpu=None), None),
    ],
    ids=["within a step", "moved", "at the power limit", "hot", "locked", "not seen", "no NVML"],
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
    assert clocks_of([at(1980)], at(1860)) is None  # another state than of a machine start


def change(power, slower=0.0, clocks=(1980, 1920, 1890), new=1870):
    """Of a step that takes 1/clock^power as long."""
    logs = [-power * math.log(clock) for clock in clocks]
    given = Clocks(tuple(map(math.log, clocks)), math.log(new))
    return change_at_one_clock(logs, -power * math.log(new) + slower, PRIOR, given, SURE)


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0])
def test_accepted_runs_tell_how_far_a_step_follows_the_clock(power):
    low, centre, high = change(power)
    assert centre == pytest.approx(0, abs=2e-3)
    assert low < 0 < high < 0.02
    assert change(power, slower=0.04)[0] > 0.02


def test_one_accepted_run_leaves_open_what_a_clock_may_have_done():
    """The clock is 5 % slower, and so is the step: from no change to all of it."""
    low, centre, high = change(1.0, clocks=(1980,), new=1881)
    assert -0.01 < low < 0
    assert centre == pytest.approx(math.log(1980 / 1881) / 2)
    assert high > 0.05
    faster, _, slower = change(0.0, clocks=(1980,), new=2079)
    assert faster < 0 < slower  # a faster clock that leaves a step as it was hides a change


def test_where_clocks_are_one_it_is_the_interval_of_runs():
    times = [0.010, 0.01004, 0.00998]
    usual = change_since(times, 0.0102, PRIOR, SURE)
    clock = math.log(1980)
    found = change_at_one_clock(np.log(times).tolist(), math.log(0.0102), PRIOR, Clocks((clock,) * 3, clock), SURE)
    assert found == pytest.approx((usual.low, usual.centre, usual.high), abs=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("accepted", [1, 3])
def test_bounds_hold_as_often_as_they_say(power, accepted):
    """Whatever the power is, of clocks that wander by 2 %."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(1000):
        clocks = rng.uniform(-0.02, 0.02, accepted + 1)
        logs = -power * clocks + PRIOR * rng.standard_normal(accepted + 1)
        known = Clocks(tuple(clocks[:-1]), clocks[-1])
        low, _, high = change_at_one_clock(logs[:-1].tolist(), float(logs[-1]), PRIOR, known, 0.95)
        held += low <= 0, high >= 0
    assert (held / 1000 > 0.93).all()


@pytest.mark.parametrize(("power", "left"), [(0.5, 0.0), (2.0, 1.0), (-1.0, 1.0)])
def test_runs_are_put_at_one_clock_by_a_power_from_0_to_1(power, left):
    clocks = np.log([1980, 1920, 1860])
    off = clocks - clocks.mean()
    assert at_one_clock(-power * clocks, clocks) + power * clocks.mean() == pytest.approx(math.copysign(left, -power) * off)
