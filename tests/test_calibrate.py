"""What the gate promises, held to the noise of recorded traces; and the simulation, held to the gate."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpcore.ab.compare import CONFIRMING, ERROR, PAIRS
from mpcore.ab.judge import judged, time_verdict
from mpcore.calibrate import H200, fit, measured, read, simulated
from mpcore.calibrate.measure import smallest_of
from mpcore.calibrate.noise import CaseNoise, Noise, log_medians
from mpcore.calibrate.simulate import MARGIN, Pairs, Share, Stored, detection, smallest, unchanged
from mpcore.calibrate.tables import SIZES
from mpcore.cli import main
from mpcore.policy import MACHINE_PRIOR, PAIR_MARGIN
from mpcore.records import Case, Compared, Comparison, Contender, Hardware, Machine, Pair, Selection, Verdict
from mpcore.stats import judged_since

TRACES = sorted(Path(__file__).parent.glob("traces/*.jsonl"))
ASSUMED = replace(H200, machine=MACHINE_PRIOR["graph"])
STEADY = replace(ASSUMED, cases=tuple(case for case in H200.cases if not case.odd))
QUIET = CaseNoise("a", blocks=10, block=0.001, correlation=0.0)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


# The noise


def test_the_noise_that_is_kept_is_that_of_the_traces():
    found = fit(read(TRACES))
    assert [case.name for case in found.cases] == [case.name for case in H200.cases]
    for case, kept in zip(found.cases, H200.cases, strict=True):
        assert kept.blocks == case.blocks
        assert (kept.block, kept.odd) == pytest.approx((case.block, case.odd), rel=0.01)
        assert kept.correlation == pytest.approx(case.correlation, abs=0.006)
    for name in ("drift", "process", "machine", "odd_shift"):
        assert getattr(H200, name) == pytest.approx(getattr(found, name), rel=0.03), name


def traced(rng, noise, starts, processes):
    """Traces of cases with this noise, as they are recorded."""
    machines = noise.machine * rng.standard_normal(starts)
    return {
        f"start {i}": [{case.name: np.exp(machine + blocks(rng, case, noise)).tolist() for case in noise.cases}
                       for _ in range(processes)]
        for i, machine in enumerate(machines)
    }  # fmt: skip


def blocks(rng, case, noise):
    logs = [case.block * rng.standard_normal()]
    for shock in rng.standard_normal(case.blocks - 1):
        logs.append(case.correlation * logs[-1] + case.block * math.sqrt(1 - case.correlation**2) * shock)
    drift = noise.drift * rng.standard_normal() * np.linspace(-0.5, 0.5, case.blocks)
    odd = noise.odd_shift * (rng.random() < case.odd)
    return np.array(logs) + drift + noise.process * rng.standard_normal() + odd


def test_fitting_finds_the_noise_that_made_the_traces(rng):
    cases = tuple(CaseNoise(f"case {i}", blocks=12, block=0.001, correlation=0.4, odd=0.1) for i in range(20))
    true = Noise(cases, drift=0.004, process=0.002, machine=0.006, odd_shift=-0.05)
    found = fit(traced(rng, true, starts=8, processes=10))
    assert np.mean([case.block for case in found.cases]) == pytest.approx(0.001, rel=0.1)
    assert np.mean([case.correlation for case in found.cases]) == pytest.approx(0.4, abs=0.05)
    assert (found.drift, found.process) == pytest.approx((0.004, 0.002), rel=0.1)
    assert found.odd_shift == pytest.approx(-0.05, rel=0.1)
    assert found.machine == pytest.approx(0.006, rel=0.5)  # of eight starts, which all cases share


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_medians_spread_as_their_blocks_and_processes_say(rng, correlation):
    case = CaseNoise("a", blocks=10, block=0.002, correlation=correlation)
    noise = Noise((case,), drift=0.0, process=0.001, machine=0.0)
    logs = log_medians(rng, case, noise, (20000,))
    by_hand = np.std([np.median(blocks(rng, case, noise)) for _ in range(4000)])
    assert logs.std() == pytest.approx(by_hand, rel=0.05)
    assert logs.mean() == pytest.approx(0, abs=1e-4)


def test_odd_processes_come_as_often_and_are_as_far_off_as_they_were(rng):
    noise = replace(H200, odd_shift=-0.05)
    odd = log_medians(rng, replace(QUIET, odd=0.15), noise, (20000,)) < -0.025
    assert odd.mean() == pytest.approx(0.15, abs=0.01)


# The simulated gate is the gate


def verdict_of_pairs(base, head):
    """As `ab` comes to it."""
    pairs = [Pair(base_seconds=b, head_seconds=h, head_first=False) for b, h in zip(np.exp(base), np.exp(head), strict=True)]
    confidence, margin = 1 - ERROR / len(PAIRS), PAIR_MARGIN["graph"]
    seen = next((n for n in PAIRS if judged(pairs[:n], confidence, margin)[1] != "undecided"), PAIRS[-1])
    case = Case(workload="bert-imdb", precision="fp32", execution="graph", size="full")
    return seen, time_verdict(case, pairs[:seen], pairs[-CONFIRMING:], confidence, margin).status


def test_pairs_are_judged_as_by_ab(rng):
    gate = Pairs()
    logs = 0.002 * rng.standard_normal((400, 2 * gate.slowed))
    logs[:, gate.slowed :] += rng.uniform(0, 0.015, (400, 1))
    expected = [verdict_of_pairs(log[: gate.slowed], log[gate.slowed :]) for log in logs]
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
    [(Pairs(PAIRS[:1]), 0.015), (Stored(3), 0.042), (Stored(5), 0.04), (Stored(10), 0.039)],
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
    shares = [share.share for share in detection(Pairs(PAIRS[:1]), ASSUMED, case, SIZES, trials=1000)]
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


def test_the_smallest_of_a_spread_is_found_as_often_as_it_says(rng):
    size, gate = smallest_of(0.002, MARGIN), Pairs(PAIRS[:1])
    assert size > MARGIN
    logs = np.zeros((20000, 2 * gate.slowed))
    logs[:, gate.slowed :] = size + 0.002 * rng.standard_normal((20000, gate.slowed))
    assert gate.found(logs).mean() == pytest.approx(0.95, abs=0.007)


def test_the_tables_say_what_was_simulated():
    said = "\n".join(simulated(replace(H200, cases=H200.cases[-3:]), 20))
    assert "| 3 accepted runs    | as traced" in said
    assert "resnet18-mnist/tf32, with odd processes" in said
    assert said.count("no odd processes") == 5
    assert "no odd processes" not in "\n".join(simulated(replace(H200, cases=H200.cases[:1]), 20))


# Measured


def comparison(handicap, statuses):
    machine = Machine(
        hardware=Hardware(
            device="cpu", name="Some CPU", count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
            capability=None, cpu="Some CPU", cores=2,
        ),
        software={},
    )  # fmt: skip
    contender = Contender(name="base", commit=None, python="python", machine=machine)
    cases = [Case(workload="bert-imdb", precision=f"mode-{i}", size="tiny") for i in range(len(statuses))]
    pairs = [Pair(base_seconds=1.0, head_seconds=handicap * (1 + (-1) ** i * 0.002), head_first=False) for i in range(6)]
    return Comparison(
        base=contender, head=contender, selection=Selection(), seed=0, datetime="2026-01-01T00:00:00+00:00",
        cases=tuple(
            Compared(case=case, pairs=tuple(pairs), verdicts=(
                Verdict(kind="timing", case=case.id, metric="step time", status=status, value=None, limit=0.5, sentence="."),
            ))
            for case, status in zip(cases, statuses, strict=True)
        ),
        failures={"bert-imdb-fp8": "no such thing"},
    )  # fmt: skip


@pytest.fixture
def compared(monkeypatch):
    """What was compared, in place of comparing: nothing is slower without a handicap, half of the cases with one."""
    calls = []

    def compare(base, head, selection, *, seed, progress):
        calls.append((base.handicap, head.handicap, base.tree == head.tree, selection, seed))
        return comparison(head.handicap, ["same", "same"] if head.handicap == 1 else ["worse", "undecided"])

    monkeypatch.setattr("mpcore.calibrate.measure.compare", compare)
    return calls


def test_a_tree_is_measured_against_itself_and_slowed_down(compared, tmp_path):
    said = list(measured(tmp_path, Selection(), [1.02], 3))
    assert [(base, head, same, seed) for base, head, same, _, seed in compared] == [
        (1.0, handicap, True, seed) for handicap in (1.0, 1.02) for seed in range(3)
    ]
    nothing, planted = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said[1].splitlines()[2:]]
    assert nothing[:8] == ["+0.00 %", "-0.00 %", "6", "0", "0", "6", "0", "0 %"]
    assert planted[:8] == ["+2.00 %", "+2.00 %", "6", "3", "3", "0", "0", "50 %"]
    assert said[2] == "Not measured:\n- bert-imdb-fp8: no such thing"
    spread = math.sqrt(6 / 5) * 0.002
    assert f"{100 * math.expm1(smallest_of(spread, MARGIN)):.2f} % 95 times in 100" in said[3]


@pytest.mark.parametrize(
    ("arguments", "handicaps", "count"),
    [
        (["--measure"], {1.0, 1.02}, 2),
        (["--handicap", "1.01", "--handicap", "1.05"], {1.0, 1.01, 1.05}, 3),
        (["--repeat", "2"], {1.0, 1.02}, 4),
        (["--mp-workload", "bert-imdb"], {1.0, 1.02}, 2),
    ],
)
def test_any_option_of_measuring_measures(compared, capsys, arguments, handicaps, count):
    assert main(["calibrate", *arguments]) == 0
    assert {head for _, head, *_ in compared} == handicaps
    assert len(compared) == count
    assert "planted" in capsys.readouterr().out


def test_without_options_of_measuring_it_is_simulated(compared, tmp_path, capsys):
    path = tmp_path / "start.jsonl"
    path.write_text(f"{GOOD}\n" * 3)
    assert main(["calibrate", "--suites", "1", "--traces", str(path)]) == 0
    assert "of 1 simulated" in capsys.readouterr().out
    assert compared == []


# What it cannot use


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--measure", "--traces", "a"], "--traces is for the simulation: expected none where it is measured"),
        (["--mp-workload", ","], "--mp-workload ',': expected names separated by commas"),
    ],
)
def test_options_that_do_not_fit_are_refused(capsys, arguments, sentence):
    assert main(["calibrate", *arguments]) == 2
    assert capsys.readouterr().err == f"mpcore: {sentence}\n"


@pytest.mark.parametrize("text", ["1", "0.98", "nan", "inf", "two per cent"])
def test_a_handicap_is_above_one(capsys, text):
    with pytest.raises(SystemExit):
        main(["calibrate", "--handicap", text])
    assert f"expected a number above 1 and at most 10, such as 1.02, found '{text}'" in capsys.readouterr().err


GOOD = json.dumps({"step_seconds": {"a": [1.0, 1.1, 1.0, 1.2, 1.0]}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected one line of JSON a process, found none"),
        (f"{GOOD}\n{GOOD}", "expected a case that three processes of one machine start have recorded"),
        (f"{GOOD}\nnothing", "line 2: expected"),
        ("[]", "line 1: expected"),
        ('{"step_seconds": [1, 2]}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4]}}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4, 0]}}', "line 1: expected"),
        ('{"step_seconds": {"a": [1, 2, 3, 4, NaN]}}', "line 1: expected"),
        ('{"step_seconds": {"a": "12345"}}', "line 1: expected"),
        ('{"step_seconds": {"a": [true, true, true, true, true]}}', "line 1: expected"),
        (f'{{"step_seconds": {{"a": [1, 1, 1, 1, 1{"0" * 400}]}}}}', "line 1: expected"),
        ("[" * 100000, "line 1: expected"),
    ],
)
def test_traces_that_are_none_are_one_sentence(tmp_path, capsys, text, sentence):
    path = tmp_path / "traces.jsonl"
    path.write_text(text)
    assert main(["calibrate", "--traces", str(path)]) == 4
    error = capsys.readouterr().err
    assert error.startswith(f"mpcore: {path}")
    assert sentence in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["calibrate", "--traces", str(tmp_path / "none")]) == 4
    assert capsys.readouterr().err == f"mpcore: {tmp_path / 'none'}: cannot be read: No such file or directory\n"
