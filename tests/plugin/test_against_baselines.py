"""Sessions against accepted runs, as their users see them."""

import json
import re
from pathlib import Path

import pytest
import torch

import mpcore.ab
import mpcore.doctor.estimates
import mpcore.gate
import mpcore.report.documents
import mpcore.report.render
import mpcore.runner  # all before pytester, which unloads what it sees loaded first
from mpcore.__main__ import main
from mpcore.gate import Judge
from mpcore.measure import Bench, Counter
from mpcore.plugin.session import Session
from mpcore.precision.autocast import BF16Autocast
from mpcore.records import ALL_CASES, Blocks, Pair, Regression
from mpcore.report.sections.regressions import LET_GO
from mpcore.store import RunError, load

CASES = ("--mp-workload", "ncf-movielens", "--mp-precision", "fp32,bf16-amp")


@pytest.fixture
def accepted(run, pytester, capsys):
    """accepted("-m", "numerics"): a run of that is accepted."""

    def accepted(*arguments):
        assert run(*CASES, *arguments, "--benchmark-json", "run.json").ret == 0
        assert main(["accept", str(pytester.path / "run.json"), *BASELINES(pytester), "--reason", "the first"]) == 0
        capsys.readouterr()
        (path,) = (pytester.path / "baselines").glob("*/*.json")
        return path

    return accepted


def BASELINES(pytester):
    return "--baselines", str(pytester.path / "baselines")


def scaled(method, field, factor, mode="bf16-amp"):
    """The measurement, with one figure of one mode that many times as large."""

    def measured(self, case):
        record = method(self, case)
        if case.precision != mode:
            return record
        value = getattr(record, field)
        if isinstance(value, Blocks):
            return record.model_copy(
                update={field: Blocks(steps=value.steps, seconds=tuple(factor * s for s in value.seconds))}
            )
        return record.model_copy(update={field: factor * value})

    return measured


MEASURE = Bench.speed


def taking(seconds):
    """A step that takes so long, whatever else this CPU does."""
    blocks = Blocks(steps=10, seconds=(10 * seconds,) * 5)
    return lambda self, case: MEASURE(self, case).model_copy(update={"blocks": blocks})


def slow_in_bf16(self, case):
    return taking(0.5 if case.precision == "bf16-amp" else 0.01)(self, case)


def test_without_an_accepted_run_all_is_new(run):
    result = run(*CASES, "-m", "numerics")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["new: nothing is compared, baselines/* holds no accepted run"])
    strict = run(*CASES, "-m", "numerics", "--mp-strict")
    strict.assert_outcomes(failed=2)
    said = "*ncf-movielens: fp32: no accepted run has it. `python -m mpcore accept * (new, which fails with --mp-strict)"
    strict.stdout.fnmatch_lines([said])


def test_what_failed_for_being_new_only_can_be_accepted(run, pytester):
    run(*CASES, "-m", "numerics", "--mp-strict", "--benchmark-json", "new.json").assert_outcomes(failed=2)
    assert [failed.strict for failed in load(pytester.path / "new.json").failed] == [True, True]
    assert main(["accept", str(pytester.path / "new.json"), *BASELINES(pytester), "--reason", "the first"]) == 0
    run(*CASES, "-m", "numerics", "--mp-strict").assert_outcomes(passed=2)


def test_the_same_again_is_the_same(run, accepted):
    accepted("-m", "numerics or speed")
    result = run(*CASES, "-m", "numerics or speed", "--mp-strict")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["against 1 accepted run of baselines/*: 6 same"])


def test_a_regression_fails_as_often_as_it_is_measured(run, accepted, pytester, monkeypatch):
    accepted("-m", "numerics")
    monkeypatch.setattr(Bench, "numerics", scaled(Bench.numerics, "gradient_error", 1.6))
    for _ in range(2):
        result = run(*CASES, "-m", "numerics", "--benchmark-json", "worse.json")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["*gradient error of bf16-amp is *, * in accepted runs. The limit is 1.5 times that"])
        result.stdout.fnmatch_lines(["fp32 * ok * same", "bf16-amp * failed * worse", "against 1 accepted run of *, 1 worse"])
    saved = load(pytester.path / "worse.json")
    assert [(f.name, f.strict) for f in saved.failed] == [("numerics:ncf-movielens-bf16-amp-eager-tiny", False)]
    assert main(["accept", str(pytester.path / "worse.json"), *BASELINES(pytester), "--reason", "x"]) == 4


def test_what_fails_for_all_together_is_no_baseline_unless_it_is_allowed(run, accepted, pytester, monkeypatch, capsys):
    accepted("-m", "numerics")
    shared = {"kind": "speed", "case": ALL_CASES, "metric": "step time", "status": "worse", "value": 1.1, "limit": 1.0125}
    regression = Regression(**shared, sentence="steps of all 6 cases take +10.0 %")
    monkeypatch.setattr(Judge, "common", lambda self, results, pairs=None: regression)
    assert run(*CASES, "-m", "numerics", "--benchmark-json", "slow.json").ret == 1
    accept = ["accept", str(pytester.path / "slow.json"), *BASELINES(pytester), "--reason", "a new driver"]
    assert main(accept) == 4
    assert "failed run is no reference: all cases (the first: steps of all 6 cases take +10.0 %)" in capsys.readouterr().err
    assert main([*accept, "--allow-failure", ALL_CASES]) == 0


def test_a_margin_of_its_own_lets_it_pass(run, accepted, pytester, monkeypatch):
    accepted("-m", "numerics")
    monkeypatch.setattr(Bench, "numerics", scaled(Bench.numerics, "gradient_error", 1.6))
    assert run(*CASES, "-m", "numerics", "--mp-margin", "*-bf16-*:errors=2").ret == 0
    (pytester.path / "pyproject.toml").write_text("[tool.mpcore.margins]\nerrors = 2.0")
    assert run(*CASES, "-m", "numerics").ret == 0
    refused = run(*CASES, "-m", "numerics", "--mp-margin", "errors=much")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --mp-margin 'errors=much': errors is 'much'" in refused.stderr.str()


def test_a_margin_that_is_for_no_case_is_named(run, pytester):
    (pytester.path / "pyproject.toml").write_text(
        '[tool.mpcore.margins]\nerrors = 2.0\n[tool.mpcore.margins."ncf-*"]\nerrors = 1.6\n'
        '[tool.mpcore.margins."bert-imbd-*"]\npoints = 0.5\n[tool.mpcore.margins."resnet50-*-full-b128"]\nmemory = 2\n'
    )
    result = run(*CASES, "-m", "numerics")
    assert result.ret == 0
    told = [line for line in result.outlines if "a margin is for" in line]
    assert told == ["mpcore: a margin is for 'bert-imbd-*', and no case has such a name"]


@pytest.mark.parametrize(("again", "failed"), [(30.0, 1), (1.0, 0)])
def test_a_time_that_is_worse_is_measured_again_in_a_fresh_process(run, accepted, monkeypatch, again, failed):
    monkeypatch.setattr(Bench, "emulated", lambda self, case: None)
    monkeypatch.setattr(Bench, "speed", taking(0.01))
    path = accepted("-m", "speed")
    (old,) = (r.record for r in load(path).results if r.record.case.precision == "bf16-amp")
    asked = []

    def confirm(case, selection):
        asked.append((case, selection.workloads))
        return scaled(lambda self, case: old, "blocks", again)(None, case)

    monkeypatch.setattr(mpcore.runner, "confirm", confirm)
    monkeypatch.setattr(Bench, "speed", slow_in_bf16)
    result = run(*CASES, "-m", "speed", "--mp-margin", "step-time=200")
    result.assert_outcomes(passed=2 - failed, failed=failed)
    assert asked == [(old.case, ("ncf-movielens",))]
    said = "it is so again" if failed else "it is not so. ncf-movielens: a step of bf16-amp takes *"
    text = " ".join(result.stdout.str().split())
    assert said.rstrip("*") in text


def test_what_is_slower_beside_the_accepted_commit_too_is_the_code(run, pytester, accepted, monkeypatch):
    monkeypatch.setattr(Bench, "emulated", lambda self, case: None)
    monkeypatch.setattr(Bench, "speed", taking(0.01))
    path = accepted("-m", "speed")
    (old,) = (r.record for r in load(path).results if r.record.case.precision == "bf16-amp")
    path.write_text(path.read_text().replace('"commit": null', '"commit": "1a8eef83"'))
    asked = []

    def measure_beside(revision, cases, selection):
        asked.append((revision, cases))
        return {old.case.id: [Pair(base_seconds=0.01, head_seconds=0.5, head_first=False)] * 6}

    monkeypatch.setattr(
        mpcore.runner, "confirm", lambda case, selection: scaled(lambda self, case: old, "blocks", 50.0)(None, case)
    )
    monkeypatch.setattr(mpcore.ab, "measure_beside", measure_beside)
    monkeypatch.setattr(Bench, "speed", slow_in_bf16)
    options = ("--mp-margin", "step-time=200", "--mp-base", "main", "--benchmark-json", "slow.json")
    result = run(*CASES, "-m", "speed", *options)
    result.assert_outcomes(passed=1, failed=1)
    assert asked == [("1a8eef83", [old.case]), ("main", [old.case])]
    saved = load(pytester.path / "slow.json")
    (judged,) = (r for r in saved.results if r.record.case == old.case)
    assert (judged.pairs.commit, judged.pairs.target) == ("1a8eef83", "main")
    assert "Beside the accepted commit 1a8eef83 it takes" in judged.regressions[0].sentence
    assert "Beside main, which it is to go into, it takes" in judged.regressions[0].sentence


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "is no JSON file"),
        (lambda text: text.replace('"gradient_error": ', '"gradient_error": "a", "was": '), "gradient_error"),
        (lambda text: text.replace('"layout": "4.0"', '"layout": "99.0"'), "layout"),
    ],
    ids=["truncated", "of a wrong type", "newer"],
)
def test_a_baseline_that_cannot_be_read_is_no_missing_one(run, accepted, damage, said):
    path = accepted("-m", "numerics")
    path.write_text(damage(json.dumps(json.loads(path.read_text()))))
    result = run(*CASES, "-m", "numerics")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.str().splitlines() if line.startswith("ERROR:")]
    assert str(path) in line
    assert said in line


def test_what_got_better_is_said_with_the_command_that_accepts_it(run, accepted, monkeypatch):
    accepted("-m", "numerics")
    monkeypatch.setattr(Bench, "numerics", scaled(Bench.numerics, "gradient_error", 0.5))
    result = run(*CASES, "-m", "numerics", "--benchmark-json", "better.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["bf16-amp * ok * better"])
    result.stdout.fnmatch_lines(
        ["better than accepted runs, which accept --reset CASES would hold:", "*gradient error of bf16-amp *"]
    )
    result.stdout.fnmatch_lines(["saved: better.json", "next:", "*", "  python -m mpcore accept better.json --reason TEXT"])


def test_what_is_gone_is_said(run, accepted):
    path = accepted("-m", "numerics")
    path.write_text(path.read_text().replace("bf16-amp", "bf16-old"))
    result = run("--mp-workload", "ncf-movielens", "-m", "numerics", "-k", "fp32 or bf16")
    assert "gone, though" not in result.stdout.str()  # of what was chosen by a word nothing is missed
    result = run("--mp-workload", "ncf-movielens", "-m", "numerics", "--deselect", "benchmarks/test_numerics.py::nothing")
    assert "gone, though" not in result.stdout.str()
    result = run("--mp-workload", "ncf-movielens", "-m", "numerics")
    title = "gone, though an accepted run has it, which passes unless --mp-strict is given:"
    result.stdout.fnmatch_lines([title, "  numerics of ncf-movielens (eager-tiny: bf16-old): there is no such test"])
    result.stdout.fnmatch_lines(["new, and compared with nothing:", "  numerics of ncf-movielens (eager-tiny: *bf16-amp*)"])


@pytest.fixture
def in_parts(run, pytester):
    """in_parts(*options, renamed={}): a run of that is accepted beside others, in which names are put for others."""

    def in_parts(*options, renamed=None, isolated=False):
        assert run(*options, "-m", "work", "--benchmark-json", "part.json", isolated=isolated).ret == 0
        path = pytester.path / "part.json"
        for old, new in (renamed or {}).items():
            path.write_text(path.read_text().replace(old, new))
        assert main(["accept", str(path), *BASELINES(pytester), "--reason", "a part"]) == 0

    return in_parts


NCF = ("--mp-workload", "ncf-movielens")


def test_what_is_gone_is_said_of_a_suite_that_was_accepted_in_parts(run, pytester, in_parts):
    in_parts(*NCF, renamed={"bf16-manual": "bf16-old"})
    in_parts("--mp-workload", "bert-s128", renamed={"bert-s128": "bert-old"})
    in_parts(*NCF, "--mp-batch", "64", "--mp-precision", "bf16-amp")
    missing = ["  work of bert-old (eager-tiny: all 6 modes): there is no such test", f"  {LET_GO}"]
    ncf = "  work of ncf-movielens (eager-tiny: bf16-old): there is no such test"
    run(*NCF, "-m", "work").stdout.fnmatch_lines([ncf])
    both = run("-m", "work", "--benchmark-json", "all.json")
    both.stdout.fnmatch_lines([ncf])
    both.stdout.fnmatch_lines(missing)
    reset = ("--reset", "bert-old*", "--reset", "*-bf16-old-*")
    assert main(["accept", str(pytester.path / "all.json"), *BASELINES(pytester), "--reason", "whole", *reset]) == 0
    assert run("-m", "work", "--mp-strict").ret == 0


@pytest.mark.parametrize(
    "other",
    [
        ("--mp-batch", "64"),
        ("--mp-precision", "fp32,fp16-true"),
        ("--mp-keep-fp32", "logit", "--mp-precision", "bf16-amp"),
    ],
    ids=["batch", "modes on request", "FP32"],
)
def test_what_only_an_option_chooses_is_not_gone_without_it(run, in_parts, other):
    in_parts(*NCF)
    in_parts(*other, *NCF)
    for options in (NCF, (*other, *NCF)):
        again = run(*options, "-m", "work", "--mp-strict")
        assert "gone, though" not in again.stdout.str()
        assert again.ret == 0


def test_what_only_a_file_brings_is_not_gone_without_it(run, pytester, in_parts):
    pytester.makepyfile(own=(Path(__file__).parents[2] / "examples" / "my_model.py").read_text())
    own = ("--mp-load", "own.py", "--mp-precision", "fp32")
    in_parts(*own, isolated=True)
    in_parts(*NCF)
    for options in (NCF, own):
        again = run(*options, "-m", "work", "--mp-strict", isolated=options == own)
        assert "gone, though" not in again.stdout.str()
        assert again.ret == 0


def test_an_option_counts_wherever_it_comes_from(run, pytester, in_parts, monkeypatch):
    in_parts(*NCF, "--mp-precision", "fp32")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--mp-batch=16 '--mp-keep-fp32=logi*'")
    in_parts(*NCF, "--mp-precision", "fp32")
    saved = json.loads((pytester.path / "part.json").read_text())["mpcore"]["command"]
    assert saved.endswith("--mp-batch=16 '--mp-keep-fp32=logi*'")
    for addopts in ("--mp-batch=16 '--mp-keep-fp32=logi*'", ""):
        monkeypatch.setenv("PYTEST_ADDOPTS", addopts)
        assert run(*NCF, "--mp-precision", "fp32", "-m", "work", "--mp-strict").ret == 0


def test_a_mode_of_a_file_is_not_gone_without_it_and_all_are_more_than_the_usual(run, in_parts):
    in_parts(*NCF, renamed={"bf16-manual": "bf16-of-a-file", "pytest --mp-size": "pytest --mp-load=modes.py --mp-size"})
    in_parts(*NCF, renamed={"bf16-manual": "bf16-old"})
    said = run(*NCF, "-m", "work", "--mp-precision", "all").stdout.str()
    assert "work of ncf-movielens (eager-tiny: bf16-old): there is no such test" in said
    assert "bf16-of-a-file" not in said


def test_trainings_on_request_are_not_gone_without_it(run, pytester):
    chosen = (*NCF, "--mp-precision", "fp32", "-m", "accuracy")
    assert run(*chosen, "--mp-accuracy", "all", "--mp-seeds", "1", "--benchmark-json", "part.json").ret == 0
    assert main(["accept", str(pytester.path / "part.json"), *BASELINES(pytester), "--reason", "a part"]) == 0
    assert "gone, though" not in run(*chosen, "--mp-strict").stdout.str()


def test_a_comparison_with_another_trainer_that_is_there_is_not_gone(run, pytester):
    pytester.makepyfile(
        test_own_parity="""
        import pytest

        @pytest.mark.race
        @pytest.mark.parity
        def test_own(case, measure, judge):
            judge(measure.race(case, [case.precision], ["plain"], at_least=0.01))
    """
    )
    arguments = ("test_own_parity.py", "--mp-workload", "bert-s128", "--mp-precision", "fp32", "--benchmark-json", "run.json")
    assert run(*arguments).ret == 0
    assert main(["accept", str(pytester.path / "run.json"), *BASELINES(pytester), "--reason", "the first"]) == 0
    again = run(*arguments, "--mp-strict")
    assert "gone, though" not in again.stdout.str()
    assert again.ret == 0


def test_other_software_is_shown_and_compared(run, accepted):
    path = accepted("-m", "numerics")
    content = json.loads(path.read_text())
    content["mpcore"]["machine"]["software"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    result = run(*CASES, "-m", "numerics")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "  software: torch 1.0 -> *",
        ]
    )


def test_a_case_that_is_skipped_now_is_gone(run, accepted, monkeypatch):
    accepted("-m", "numerics")
    monkeypatch.setattr(BF16Autocast, "unsupported", classmethod(lambda _cls, _device: "no bf16 today"))
    result = run(*CASES, "-m", "numerics")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  numerics of ncf-movielens (eager-tiny: bf16-amp): no bf16 today"])
    assert run(*CASES, "-m", "numerics", "--mp-strict").ret == pytest.ExitCode.TESTS_FAILED


def test_a_folder_of_baselines_that_is_none_is_not_taken_for_an_empty_one(run):
    result = run(*CASES, "-m", "numerics", "--mp-baselines", "nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --mp-baselines 'nowhere': expected a folder" in result.stderr.str()


def test_the_folder_of_one_machine_is_not_taken_for_that_of_all(run, pytester):
    inner = pytester.path / "baselines" / "some-gpu"
    inner.mkdir(parents=True)
    (inner / "0001_abc.json").write_text("{}")
    result = run(*CASES, "-m", "numerics", "--mp-baselines", "baselines/some-gpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "some-gpu itself holds accepted runs, such as 0001_abc.json: expected the folder above it" in result.stderr.str()


def test_tests_are_chosen_by_what_accepted_runs_say_they_take(run, accepted):
    arguments = (*CASES, "-m", "numerics", "--mp-minutes")
    refused = run(*arguments, "5")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: --mp-minutes 5: no accepted run tells what tests take here: *"])
    accepted("-m", "numerics")
    enough = run(*arguments, "60")
    enough.stdout.fnmatch_lines(["mpcore: --mp-minutes 60: 2 of 2 tests, which take about * minutes; left out: nothing"])
    assert enough.parseoutcomes()["passed"] == 2
    none = run(*arguments, "0.0001", "--mp-strict")
    assert none.ret == pytest.ExitCode.USAGE_ERROR
    assert "gone" not in none.stdout.str()
    said = re.fullmatch(r"ERROR: --mp-minutes 0.0001: no test takes so little: expected (\S+) or more", none.errlines[0])
    assert run(*arguments, said[1]).parseoutcomes()["passed"] >= 1


def test_the_minutes_that_are_expected_are_enough(run, accepted, monkeypatch):
    """What a step does is counted in no time, but never without the time that the step takes."""
    accepted("-m", "numerics")
    seconds = {"speed": 7.0, "work": 0.001}
    monkeypatch.setattr("mpcore.doctor.estimates.Estimates.seconds", lambda self, kind, case: seconds[kind])
    arguments = (*CASES, "-m", "speed or work", "--collect-only", "--mp-minutes")
    none = run(*arguments, "0.001")
    assert none.errlines[0] == "ERROR: --mp-minutes 0.001: no test takes so little: expected 0.12 or more"
    run(*arguments, "0.12").stdout.fnmatch_lines(["mpcore: --mp-minutes 0.12: 2 of 4 tests, *"])


def test_trainings_whose_time_is_not_told_are_named(run, accepted):
    accepted("-m", "numerics")
    untold = run(*CASES, "-m", "accuracy", "--mp-accuracy", "ncf-movielens", "--mp-minutes", "5")
    assert untold.errlines[0] == "ERROR: --mp-minutes 5: no accepted run tells how long ncf-movielens will be trained"


def test_what_no_accepted_run_tells_is_not_in_the_minutes(run, accepted):
    accepted("-m", "numerics")
    known = run(*CASES, "-m", "numerics")
    known.stdout.fnmatch_lines(["mpcore: about 0 minutes, as accepted runs tell"])
    more = run(*CASES, "-m", "numerics or work")
    more.stdout.fnmatch_lines(["mpcore: about 0 minutes, as accepted runs tell, without 2 tests"])


def test_a_run_of_another_gpu_that_cannot_be_read_ends_no_session(run, monkeypatch):
    """A GPU without accepted runs is estimated from others."""

    def unreadable(*_):
        raise RunError("baselines/some-gpu/0001_abc.json: no JSON")

    monkeypatch.setattr(Session, "device_here", torch.device("cuda"))
    monkeypatch.setattr("mpcore.measure.Counter", lambda device: Counter(torch.device("cpu")))
    monkeypatch.setattr("mpcore.doctor.estimates.estimates_here", unreadable)
    result = run(*CASES, "-m", "numerics")
    assert result.parseoutcomes()["passed"] == 2
    result.stdout.fnmatch_lines(["mpcore: how long it will take is not known: baselines/some-gpu/0001_abc.json: no JSON"])
