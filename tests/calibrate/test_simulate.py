"""The simulated gate is the gate, and holds what the gate promises with the noise of recorded traces."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mpcore.ab.verdicts import judged, time_regression
from mpcore.calibrate.noise import H200
from mpcore.calibrate.runs import KINDS, draw_runs
from mpcore.calibrate.simulate import (
    CASES,
    Pairs,
    Share,
    Stored,
    detection,
    detection_together,
    smallest,
    traced,
    unchanged,
)
from mpcore.calibrate.tables import ALARM_GATES, SIZES, gate_of, simulated
from mpcore.gate import SHIPPED
from mpcore.gate.intervals import judged_since
from mpcore.gate.limits import (
    CONFIRMING_PAIRS,
    LOOK_CONFIDENCE,
    ONE_RUN_CONFIDENCE,
    PAIR_LOOKS,
    PAIR_TIME_MARGIN_PERCENT,
    WORSE_CONFIDENCE,
)
from mpcore.records import Case, Pair

PRIOR = 0.005
KIND = pytest.mark.parametrize("kind", sorted(KINDS))


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


def test_odd_pairs_are_judged_as_by_ab(rng):
    gate = Pairs()
    logs = 0.001 * rng.standard_normal((300, 2 * gate.slowed)) - 0.053 * (rng.random((300, 2 * gate.slowed)) < 1 / 6)
    logs[:, gate.slowed :] += rng.uniform(0, 0.015, (300, 1))
    expected = [status_of_pairs(log[: gate.slowed], log[gate.slowed :]) for log in logs]
    assert gate.found(logs).tolist() == [status == "worse" for _, status in expected]
    assert gate.undecided(logs).tolist() == [status in ("undecided", "blind") for _, status in expected]


def test_a_case_with_odd_processes_is_decided():
    """One process in six is 5 % faster."""
    noise = replace(H200, cases=tuple(case for case in H200.cases if case.odd))
    draw = traced(Pairs(), noise, cases=4)
    assert unchanged(Pairs(), draw, 500)[1].share < 0.15
    assert detection(Pairs(), draw, [0.02], 500)[0].share > 0.66


@pytest.mark.parametrize("runs", [1, 3, 10])
def test_a_run_is_judged_as_by_the_gate(rng, runs):
    gate = Stored(runs, (PRIOR,), PRIOR)
    logs = 0.005 * rng.standard_normal((400, 1, runs + 2))
    logs[..., runs:] += rng.uniform(0, 0.04, (400, 1, 1))

    def status(log):
        accepted = np.exp(log[:runs]).tolist()
        sure = WORSE_CONFIDENCE, ONE_RUN_CONFIDENCE if runs == 1 else WORSE_CONFIDENCE
        first, again = (judged_since(accepted, math.exp(log[runs + i]), PRIOR, gate.margin, sure[i])[1] for i in (0, 1))
        return "undecided" if first == "worse" != again else first

    expected = [status(log) for log in logs[:, 0]]
    assert gate.found(logs)[:, 0].tolist() == [status == "worse" for status in expected]
    assert gate.undecided(logs)[:, 0].tolist() == [status == "undecided" for status in expected]
    assert set(expected) >= {"worse", "undecided", "same"}


def test_a_suite_is_stopped_by_what_all_cases_share_too():
    gate, logs = Stored(3, (PRIOR,) * 9, PRIOR), np.zeros((2, 9, 5))
    logs[0, :, 3] = 0.05  # the new run; measured again, no case of it is slower
    assert not gate.found(logs).any()
    assert gate.stopped(logs).tolist() == [True, False]


# What it promises


def test_pairs_stop_at_most_one_suite_in_a_hundred_for_nothing():
    """Of sixty cases; for certain, which is what the upper end of the interval says."""
    assert unchanged(Pairs(), traced(Pairs(), H200), suites=2500, seed=5)[0].bounds[1] < 0.01


def runs_of(kind, accepted, pairs=0, **options):
    """The gate, and what it is put to."""
    noise = KINDS[kind]
    suite = noise.suite(CASES)
    return gate_of(SHIPPED[kind], suite, accepted, pairs), draw_runs(noise, suite, accepted, pairs=pairs, **options)


@KIND
@pytest.mark.parametrize("options", [{"heavy": True}, {"odd": 1 / 6}], ids=["heavy tails", "odd processes"])
def test_pairs_with_the_accepted_commit_stop_no_suite_for_nothing_even_of_one_run(kind, options):
    assert unchanged(*runs_of(kind, 1, CONFIRMING_PAIRS, **options), suites=1500, seed=5)[0].bounds[1] < 0.003


@KIND
def test_pairs_with_the_accepted_commit_lose_no_slowdown(kind):
    sizes = (0.025, 0.03)
    alone, beside = (detection(*runs_of(kind, 3, pairs), sizes, trials=300) for pairs in (0, CONFIRMING_PAIRS))
    assert all(b.share > a.share - 0.02 for a, b in zip(alone, beside, strict=True))


def test_what_is_slower_for_its_machine_is_not_stopped():
    kind = "nvidia-h200"
    noise, suite = replace(KINDS[kind], shared=0.05), KINDS[kind].suite(CASES)
    gate = gate_of(SHIPPED[kind], suite, 3, CONFIRMING_PAIRS)
    assert unchanged(gate, draw_runs(noise, suite, 3, pairs=CONFIRMING_PAIRS), suites=200)[0].found == 0


@KIND
@pytest.mark.parametrize("options", [{}, {"heavy": True}, {"odd": 1 / 6}], ids=["as seen", "heavy tails", "odd processes"])
def test_three_accepted_runs_stop_at_most_one_suite_in_a_hundred_for_nothing(kind, options):
    stopped, undecided = unchanged(*runs_of(kind, 3, **options), suites=3000, seed=5)
    assert stopped.bounds[1] < 0.01
    assert undecided.share < (0.05 if options.get("heavy") else 0.04)


@KIND
def test_few_times_are_undecided(kind):
    assert unchanged(*runs_of(kind, 3), suites=1000)[1].share < 0.03
    assert unchanged(*runs_of(kind, 1), suites=1000)[1].share < 0.1


@KIND
@pytest.mark.parametrize(("pace", "target"), [("steady", 0.025), ("capped", 0.034)])
def test_a_slowdown_since_three_accepted_runs_is_found_95_times_in_100(kind, pace, target):
    noise = KINDS[kind]
    suite = (len(noise.steady), 0) if pace == "steady" else (0, len(noise.capped))
    shares = detection(gate_of(SHIPPED[kind], suite, 3), draw_runs(noise, suite, 3), SIZES, trials=1000)
    assert smallest(SIZES, [share.share for share in shares]) <= target


@KIND
def test_a_slowdown_of_everything_is_found(kind):
    assert detection_together(*runs_of(kind, 3), size=0.015, trials=2000).share > 0.95


@pytest.mark.parametrize("pace", [0, 1])
def test_drawn_runs_spread_as_they_were_seen_to(pace):
    noise = KINDS["nvidia-h200"]
    seen = (noise.steady, noise.capped)[pace]
    suite = [(len(seen), 0), (0, len(seen))][pace]
    draw = draw_runs(replace(noise, shared=0.0), suite, 3)
    logs = draw(np.random.default_rng(1), 4000)
    assert logs.shape == (4000, len(seen), 5)
    assert np.sqrt((logs[..., :4] ** 2).mean()) == pytest.approx(np.sqrt(np.mean(np.square(seen))), rel=0.02)
    again = np.corrcoef(logs[..., 3].ravel(), logs[..., 4].ravel())[0, 1]
    assert again == pytest.approx(0.5, abs=0.05)  # half of the variance is the process's
    heavy = draw_runs(replace(noise, shared=0.0), suite, 3, heavy=True)(np.random.default_rng(1), 4000)
    assert (np.abs(heavy) > 0.02).mean() > 2 * (np.abs(logs) > 0.02).mean()


def test_a_hasty_gate_stops_many_suites():
    """The simulation can tell a bad gate: one without a margin and a confirmation."""

    class Hasty(Pairs):
        def found(self, logs):
            changes = logs[..., self.slowed :] - logs[..., : self.slowed]
            return changes[..., :6].mean(axis=-1) > 0.001

    assert unchanged(Hasty(), traced(Pairs(), H200), suites=200)[0].bounds[0] > 0.5


def of_case(gate, case):
    return traced(gate, replace(H200, cases=(case,)), 1)


@pytest.mark.parametrize("name", ["bert-imdb/fp16-amp", "resnet18-mnist/bf16-amp", "resnet50/fp16-manual"])
def test_a_slowdown_is_found_95_times_in_100_by_pairs(name):
    (case,) = (case for case in H200.cases if case.name == name)
    gate = Pairs(PAIR_LOOKS[:1])
    shares = [share.share for share in detection(gate, of_case(gate, case), SIZES, trials=4000, seed=2)]
    assert smallest(SIZES, shares) <= 0.015
    assert shares == sorted(shares)


def test_a_case_with_odd_processes_is_not_promised_anything():
    (case,) = (case for case in H200.cases if case.odd)
    gate = Pairs(PAIR_LOOKS[:1])
    shares = [share.share for share in detection(gate, of_case(gate, case), SIZES, trials=1000)]
    assert smallest(SIZES, shares) is None


def test_machine_starts_cancel_in_pairs_and_not_in_runs():
    assert unchanged(Pairs(), traced(Pairs(), replace(H200, machine=0.05)), suites=100)[0].found == 0
    kind = "nvidia-h200"
    noise = replace(KINDS[kind], shared=0.05)
    suite = noise.suite(CASES)
    assert unchanged(gate_of(SHIPPED[kind], suite, 1), draw_runs(noise, suite, 1), suites=100)[0].found > 10


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


KINDS_HERE = {"nvidia-h200": (SHIPPED["nvidia-h200"], KINDS["nvidia-h200"])}


def tables_of(cases):
    return [table for section in simulated(replace(H200, cases=cases), KINDS_HERE, 20) for table in section.tables]


def test_the_tables_say_what_was_simulated():
    alarms, by_pairs, least_of_pairs, by_runs, least_of_runs, together = tables_of(H200.cases[-3:])
    assert ["3 accepted runs", "nvidia-h200"] in [row[:2] for row in alarms.rows]
    assert [row[1] for row in alarms.rows].count("no odd processes") == 1
    assert [row[1] for row in alarms.rows].count("nvidia-h200, heavy tails") == len(ALARM_GATES)
    assert [row[0] for row in by_pairs.rows] == ["ab, 6 pairs", "ab, 6 and 12 pairs"]
    assert [row[0] for row in least_of_pairs.rows] == ["resnet18-mnist/tf32, with odd processes", "resnet50"]
    assert {row[0] for row in by_runs.rows} == {"nvidia-h200, steady clock", "nvidia-h200, power limit"}
    assert float(least_of_runs.rows[0][3]) < 2.5
    assert together.rows[0][0] == "nvidia-h200"
    alarms, *_ = tables_of(H200.cases[:1])
    assert "no odd processes" not in [row[1] for row in alarms.rows]


def test_it_is_said_at_once_what_takes_long():
    lead = "Suites of 60 cases stopped though nothing became slower, of 1000000000"
    assert next(simulated(H200, KINDS_HERE, 10**9)).lead.startswith(lead)
