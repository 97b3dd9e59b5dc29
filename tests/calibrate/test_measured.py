"""What `ab` says of a tree against itself, without comparing anything."""

import math

import numpy as np
import pytest

from mpcore.__main__ import main
from mpcore.calibrate.measured import measured, smallest_of
from mpcore.calibrate.simulate import MARGIN, Pairs
from mpcore.gate import Policy
from mpcore.gate.limits import PAIR_LOOKS
from mpcore.records import Case, Comparison, Hardware, Machine, Pair, PairedCase, Regression, Revision, Selection


def test_the_smallest_of_a_spread_is_found_as_often_as_it_says(rng):
    size, gate = smallest_of(0.002, MARGIN), Pairs(PAIR_LOOKS[:1])
    assert size > MARGIN
    logs = np.zeros((20000, 2 * gate.slowed))
    logs[:, gate.slowed :] = size + 0.002 * rng.standard_normal((20000, gate.slowed))
    assert gate.found(logs).mean() == pytest.approx(0.95, abs=0.007)


def comparison(slowdown, statuses):
    machine = Machine(
        hardware=Hardware(
            device="cpu", name="Some CPU", count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
            capability=None, cpu="Some CPU", cores=2,
        ),
        software={},
    )  # fmt: skip
    revision = Revision(name="base", commit=None, python="python", machine=machine)
    cases = [Case(workload="bert-imdb", precision=f"mode-{i}", size="tiny") for i in range(len(statuses))]
    pairs = [Pair(base_seconds=1.0, head_seconds=slowdown * (1 + (-1) ** i * 0.002), head_first=False) for i in range(6)]
    return Comparison(
        base=revision, head=revision, selection=Selection(), seed=0, datetime="2026-01-01T00:00:00+00:00",
        cases=tuple(
            PairedCase(case=case, pairs=tuple(pairs), regressions=(
                Regression(kind="timing", case=case.id, metric="step time", status=status, value=None, limit=0.5, sentence="."),
            ))
            for case, status in zip(cases, statuses, strict=True)
        ),
        failures={"bert-imdb-fp8": "no such thing"},
    )  # fmt: skip


@pytest.fixture
def compared(monkeypatch):
    """What was compared, in place of comparing: nothing is slower without a slowdown, half of the cases with one."""
    calls = []

    def compare(base, head, selection, policy, *, seed, progress):
        calls.append((base.slowdown, head.slowdown, base.tree == head.tree, policy.margins("a").pair_time, seed))
        return comparison(head.slowdown, ["same", "same"] if head.slowdown == 1 else ["worse", "undecided"])

    monkeypatch.setattr("mpcore.calibrate.measured.compare", compare)
    return calls


def test_a_tree_is_measured_against_itself_and_slowed_down(compared, tmp_path):
    policy = Policy([("*", {"pair_time": 3.0})])
    found, lost, spread_of_pairs = measured(tmp_path, Selection(), policy, [1.02], 3)
    assert compared == [(1.0, slowdown, True, 3.0, seed) for seed in range(3) for slowdown in (1.0, 1.02)]
    nothing, planted = found.tables[0].rows
    assert nothing[:9] == ["+0.00 %", "-0.00 %", "6", "0", "0", "0", "6", "0", "0 %"]
    assert planted[:9] == ["+2.00 %", "+2.00 %", "6", "3", "0", "3", "0", "0", "50 %"]
    assert (lost.lead, lost.sentences) == ("Not measured:", ["bert-imdb-fp8: no such thing"])
    spread = math.sqrt(6 / 5) * 0.002
    assert f"{100 * math.expm1(smallest_of(spread, MARGIN)):.2f} % 95 times in 100" in spread_of_pairs.lead


def test_interrupted_it_says_what_was_decided(monkeypatch, capsys):
    """The comparison that was cut has an open case, and no other one follows."""
    calls = []

    def compare(base, head, *_, **options):
        calls.append(head.slowdown)
        found = comparison(head.slowdown, ["same", "same"])
        if len(calls) < 3:
            return found
        open_case = found.cases[1].model_copy(update={"open": True})
        return found.model_copy(update={"cases": (found.cases[0], open_case), "interrupted": 130})

    monkeypatch.setattr("mpcore.calibrate.measured.compare", compare)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "--measure", "--repeat", "3"])
    assert ended.value.code == 130
    assert calls == [1.0, 1.02, 1.0]
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| +")]
    assert [(row[1].strip(), row[3].strip()) for row in rows] == [("+0.00 %", "3"), ("+2.00 %", "2")]


def test_interrupted_before_a_comparison_has_anything_it_says_what_others_decided(monkeypatch, capsys):
    def compare(base, head, *_, **options):
        if head.slowdown > 1:
            raise KeyboardInterrupt
        return comparison(head.slowdown, ["same", "same"])

    monkeypatch.setattr("mpcore.calibrate.measured.compare", compare)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "--measure"])
    assert ended.value.code == 130
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| +")]
    assert [(row[1].strip(), row[2].strip(), row[3].strip()) for row in rows] == [
        ("+0.00 %", "-0.00 %", "2"),
        ("+2.00 %", "-", "0"),
    ]


@pytest.mark.parametrize(
    ("arguments", "slowdowns", "count"),
    [
        (["--measure"], {1.0, 1.02}, 2),
        (["--slowdown", "1.01", "--slowdown", "1.05"], {1.0, 1.01, 1.05}, 3),
        (["--repeat", "2"], {1.0, 1.02}, 4),
        (["--mp-workload", "bert-imdb"], {1.0, 1.02}, 2),
    ],
)
def test_any_option_of_measuring_measures(compared, capsys, arguments, slowdowns, count):
    assert main(["calibrate", *arguments]) == 0
    assert {head for _, head, *_ in compared} == slowdowns
    assert len(compared) == count
    assert "planted" in capsys.readouterr().out


def test_where_no_case_is_measured_it_does_not_pass(monkeypatch, capsys):
    """As of a step that cannot be captured, and is to be."""
    monkeypatch.setattr("mpcore.calibrate.measured.compare", lambda *_, **options: comparison(1.0, []))
    assert main(["calibrate", "--measure"]) == 2
    out, err = capsys.readouterr()
    assert "bert-imdb-fp8: no such thing" in out
    assert err.endswith("mpcore: no case was measured\n")


def test_without_options_of_measuring_it_is_simulated(compared, tmp_path, capsys):
    path = tmp_path / "start.jsonl"
    path.write_text('{"step_seconds": {"a": [1.0, 1.1, 1.0, 1.2, 1.0]}}\n' * 3)
    assert main(["calibrate", "--suites", "1", "--traces", str(path)]) == 0
    assert "of 1 simulated" in capsys.readouterr().out
    assert compared == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--measure", "--traces", "a"], "--traces and a measurement: expected one of them"),
        (["--mp-workload", ","], "--mp-workload ',': expected names separated by commas"),
    ],
)
def test_options_that_do_not_fit_are_refused(capsys, arguments, sentence):
    assert main(["calibrate", *arguments]) == 2
    assert capsys.readouterr().err == f"mpcore: {sentence}\n"


@pytest.mark.parametrize("text", ["1", "0.98", "nan", "inf", "two per cent"])
def test_a_slowdown_is_above_one(capsys, text):
    with pytest.raises(SystemExit):
        main(["calibrate", "--slowdown", text])
    assert f"expected a number above 1 and at most 10, such as 1.02, found '{text}'" in capsys.readouterr().err
