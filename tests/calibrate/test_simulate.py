"""The simulated gate is the gate, and holds what the gate promises with the noise of recorded traces."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mpcore.ab.verdicts import judged, time_regression
from mpcore.calibrate.noise import H200
from mpcore.calibrate.simulate import LOOK_CONFIDENCE, Pairs, Share, Stored, detection, smallest, unchanged
from mpcore.calibrate.tables import SIZES, simulated
from mpcore.gate.intervals import judged_since
from mpcore.gate.limits import CONFIRMING_PAIRS, MACHINE_PRIOR_LOG_SD, PAIR_LOOKS, PAIR_TIME_MARGIN_PERCENT
from mpcore.records import Case, Pair

ASSUMED = replace(H200, machine=MACHINE_PRIOR_LOG_SD["graph"])
STEADY = replace(ASSUMED, cases=tuple(case for case in H200.cases if not case.odd))


# The simulated gate is the gate


def status_of_pairs(base, head):
    """As `ab` comes to it."""
    pairs = [Pair(base_seconds=b, head_seconds=h, head_first=False) for b, h in zip(np.exp(base), np.exp(head), strict=True)]
    margin = PAIR_TIME_MARGIN_PERCENT["graph"]
    seen = next((n for n in PAIR_LOOKS if judged(pairs[:n], LOOK_CONFIDENCE, margin)[1] != "undecided"), PAIR_LOOKS[-1])
    case = Case(workload="bert-imdb", precision="fp32", execution="graph", size="full")
    return seen, time_regression(case, pairs[:seen], pairs[-CONFIRMING_PAIRS:], LOOK_CONFIDENCE, margin).status


def test_pairs_are_judged_as_by_ab(rng):
    gate = Pairs()
    logs = 0.002 * rng.standard_normal((400, 2 * gate.slowed))
    logs[:, gate.slowed :] += rng.uniform(0, 0.015, (400, 1))
    expected = [status_of_pairs(log[: gate.slowed], log[gate.slowed :]) for log in logs]
    assert gate.found(logs).tolist() == [status == "worse" for _, status in expected]
    assert gate.undecided(logs).tolist() == [status == "undecided" for _, status in expected]
    assert set(expected) > {(6, "worse"), (6, "same"), (12, "worse"), (12, "same"), (12, "undecided")}


@pytest.mark.parametrize("runs", [1, 3, 10])
def test_a_run_is_judged_as_by_the_gate(rng, runs):
    gate = Stored(runs)
    logs = 0.005 * rng.standard_normal((400, runs + 2))
    logs[:, runs:] += rng.uniform(0, 0.04, (400, 1))

    def status(log):
        accepted = np.exp(log[:runs]).tolist()
        first, again = (judged_since(accepted, math.exp(log[runs + i]), gate.prior, gate.margin)[1] for i in (0, 1))
        return "undecided" if first == "worse" != again else first

    expected = [status(log) for log in logs]
    assert gate.found(logs).tolist() == [status == "worse" for status in expected]
    assert gate.undecided(logs).tolist() == [status == "undecided" for status in expected]
    assert set(expected) >= {"worse", "undecided", "same"}


def test_a_suite_is_stopped_by_what_all_cases_share_too():
    logs = np.zeros((2, 9, 5))
    logs[0, :, 3] = 0.05  # the new run; measured again, no case of it is slower
    assert not Stored(3).found(logs).any()
    assert Stored(3).stopped(logs).tolist() == [True, False]


# What it promises


@pytest.mark.parametrize(
    ("gate", "noise"),
    [
        pytest.param(Pairs(), ASSUMED, id="pairs"),
        pytest.param(Stored(3), STEADY, id="3-runs-no-odd-processes"),
        pytest.param(Stored(5), ASSUMED, id="5-runs"),
    ],
)
def test_at_most_one_suite_in_a_hundred_is_stopped_for_nothing(gate, noise):
    """Of sixty cases; for certain, which is what the upper end of the interval says."""
    assert unchanged(gate, noise, suites=2500, seed=5)[0].bounds[1] < 0.01


def test_a_hasty_gate_stops_many_suites():
    """The simulation can tell a bad gate: one without a margin and a confirmation."""

    class Hasty(Pairs):
        def found(self, logs):
            changes = logs[..., self.slowed :] - logs[..., : self.slowed]
            return changes[..., :6].mean(axis=-1) > 0.001

    assert unchanged(Hasty(), ASSUMED, suites=200)[0].bounds[0] > 0.5


@pytest.mark.parametrize(
    ("gate", "target"),
    [(Pairs(PAIR_LOOKS[:1]), 0.015), (Stored(3), 0.042), (Stored(5), 0.04), (Stored(10), 0.039)],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("name", ["bert-imdb/fp16-amp", "resnet18-mnist/bf16-amp", "resnet50/fp16-manual"])
def test_a_slowdown_is_found_95_times_in_100(gate, target, name):
    (case,) = (case for case in H200.cases if case.name == name)
    shares = [share.share for share in detection(gate, ASSUMED, case, SIZES, trials=4000, seed=2)]
    assert smallest(SIZES, shares) <= target
    assert shares == sorted(shares)


def test_a_case_with_odd_processes_is_not_promised_anything():
    (case,) = (case for case in H200.cases if case.odd)
    shares = [share.share for share in detection(Pairs(PAIR_LOOKS[:1]), ASSUMED, case, SIZES, trials=1000)]
    assert smallest(SIZES, shares) is None


def test_machine_starts_cancel_in_pairs_and_not_in_runs():
    far = replace(STEADY, machine=0.05)
    assert unchanged(Pairs(), far, suites=100)[0].found == 0
    assert unchanged(Stored(3), far, suites=100)[0].found > 10


# Figures


@pytest.mark.parametrize(
    ("shares", "expected"),
    [([0.0, 0.9, 1.0], 0.015), ([0.96, 0.97, 1.0], 0.0), ([0.0, 0.96, 0.94], None), ([0.96, 0.94, 0.96], 0.015)],
)
def test_the_smallest_is_where_it_stays_found(shares, expected):
    found = smallest([0.0, 0.01, 0.02], shares)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_the_bounds_of_a_share_are_those_of_clopper_and_pearson():
    assert Share(0, 300).bounds == pytest.approx((0, 1 - 0.025 ** (1 / 300)))


def tables_of(cases):
    return [table for section in simulated(replace(H200, cases=cases), 20) for table in section.tables]


def test_the_tables_say_what_was_simulated():
    alarms, shares, least = (
        table for section in simulated(replace(H200, cases=H200.cases[-3:]), 20) for table in section.tables
    )
    assert ["3 accepted runs", "as traced"] in [row[:2] for row in alarms.rows]
    assert [row[1] for row in alarms.rows].count("no odd processes") == 5
    assert [row[0] for row in shares.rows][:2] == ["ab, 6 pairs", "ab, 6 and 12 pairs"]
    assert [row[0] for row in least.rows] == ["resnet18-mnist/tf32, with odd processes", "resnet50"]
    alarms, *_ = tables_of(H200.cases[:1])
    assert "no odd processes" not in [row[1] for row in alarms.rows]


def test_it_is_said_at_once_what_takes_long():
    assert next(simulated(H200, 10**9)).lead.startswith(
        "Suites of 60 cases stopped though nothing became slower, of 1000000000"
    )
