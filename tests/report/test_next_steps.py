import itertools

import pytest

from mpcore.records import ALL_CASES, Case, Selection
from mpcore.report.sections.next_steps import UNSAVED, next_steps, options_of, session_command

SAVED = ".benchmarks/Linux/0007_c0ffee_20260102.json"
TYPED = ".benchmarks/Linux/0007_*.json"


def commands(summary):
    return [command for section in next_steps(summary) for command in section.commands]


def sharpened(summary):
    """The command that measures pairs."""
    return commands(summary)[-1].removeprefix("python -m mpcore ab ")


def test_where_it_was_saved_and_what_shows_it(summary, many):
    [section] = next_steps(summary(many(1), saved=[SAVED]))
    assert section.sentences == [f"saved: {SAVED}", "next:"]
    assert section.commands == [f"python -m mpcore report {TYPED} -o report.html"]


def test_each_file_is_named_and_the_first_is_used(summary, many):
    [section] = next_steps(summary(many(1), saved=[SAVED, "run.json"]))
    assert section.sentences[:2] == [f"saved: {SAVED}", "saved: run.json"]
    assert not any("run.json" in command for command in section.commands)


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("run.json", "run.json"),
        ("my runs/it's.json", "'my runs/it'\"'\"'s.json'"),
        ("my runs/0001_a.json", "'my runs'/0001_*.json"),
        ("0001_a[b].json", "'0001_a[b].json'"),
        ("0001_größe.json", "./0001_*.json"),
    ],
)
def test_a_path_can_be_typed_in_a_shell(summary, many, path, typed):
    assert commands(summary(many(1), saved=[path])) == [f"python -m mpcore report {typed} -o report.html"]


def test_what_was_not_saved_is_said_with_the_options_that_save_it(summary, many):
    [section] = next_steps(summary(many(1)))
    assert (section.sentences, section.commands) == ([UNSAVED], [])


def test_where_nothing_was_measured_there_is_no_advice(summary):
    assert next_steps(summary()) == []


@pytest.mark.parametrize(
    ("status", "advised"), [("better", True), ("new", True), ("incomparable", True), ("same", False), ("undecided", False)]
)
def test_what_is_better_or_new_can_be_accepted(summary, run, many, compared, status, advised):
    told = commands(summary(compared(many(1), status), saved=[SAVED], accepted=[run]))
    assert (f"python -m mpcore accept {TYPED} --reason TEXT" in told) is advised


def test_a_session_that_failed_or_did_not_finish_is_not_to_be_accepted(summary, results, many, compared):
    failed, unfinished = compared(results, "better"), compared(many(1), "better")
    for told in (summary(failed, saved=[SAVED]), summary(unfinished, saved=[SAVED], missed=1)):
        assert [command.split()[3] for command in commands(told)] == ["report"]


@pytest.mark.parametrize("status", ["worse", "undecided"])
def test_a_time_that_may_have_got_worse_is_sharpened_by_pairs(summary, run, full, compared, status):
    doubtful = [full[0], *compared(full[3:4], status), *compared(full[9:10], status)]
    assert sharpened(summary(doubtful, accepted=[run], saved=[SAVED])) == (
        "0123456789ab --mp-workload bert-imdb --mp-precision tf32,bf16-amp --mp-execution graph"
    )


def test_what_got_worse_comes_before_what_may_have(summary, run, full, compared):
    mixed = [*compared(full[3:4], "worse"), *compared(full[9:10], "undecided")]
    assert sharpened(summary(mixed, accepted=[run])).endswith(
        "--mp-workload bert-imdb --mp-precision tf32 --mp-execution graph"
    )


def test_the_pairs_are_of_what_the_session_measured(summary, run, full, compared):
    selection = Selection(size="full", device="cuda:1", data="my data", load=("own.py", "other.py"))
    unknown = run.model_copy(update={"commit": None})
    assert sharpened(summary(compared(full[:1], "worse"), accepted=[unknown], selection=selection)) == (
        "BASE --mp-workload bert-imdb --mp-precision fp32 --mp-execution graph --mp-size full --mp-device cuda:1 "
        "--mp-data 'my data' --mp-load own.py --mp-load other.py"
    )


def test_the_pairs_are_by_the_trainer_that_was_measured(summary, run, full, compared):
    (result,) = compared(full[:1], "worse")
    by_plain = result.record.model_copy(update={"case": result.record.case.model_copy(update={"trainer": "plain"})})
    told = sharpened(summary([result.model_copy(update={"record": by_plain})], accepted=[run]))
    assert told == "0123456789ab --mp-workload bert-imdb --mp-precision fp32 --mp-trainer plain --mp-execution graph"


def test_pairs_say_nothing_of_errors_or_memory_or_work(summary, run, full, compared, counted):
    others = [*compared(full[:1], "worse", "memory"), *compared(full[2:3], "worse", "gradient error")]
    others += compared(counted(full)[-1:], "worse", "launches")
    assert commands(summary(others, accepted=[run])) == []


def test_what_all_graphs_share_is_sharpened_by_all_of_them(summary, run, full, compared):
    common = compared(full[:1], "worse")[0].regressions[-1]
    assert "--mp-precision fp32,tf32 --mp-execution graph" in sharpened(summary(full[:6], common=common, accepted=[run]))


def test_the_pairs_are_of_these_cases_and_no_others(summary, run, many, full, compared):
    doubtful = compared([full[3], full[9], *many(2)], "undecided")
    assert [command.removeprefix("python -m mpcore ab ") for command in commands(summary(doubtful, accepted=[run]))] == [
        "0123456789ab --mp-workload bert-imdb --mp-precision tf32,bf16-amp --mp-execution graph",
        "0123456789ab --mp-workload bert-imdb --mp-precision mode-0,mode-1 --mp-execution eager",
    ]


def selected(options):
    """The cases that options name, by workload, mode, execution and number of GPUs."""
    named = [dict(option.removeprefix("--mp-").split(" ") for option in of) for of in options]
    axes = ("workload", "precision", "execution", "gpus")
    return [case for of in named for case in itertools.product(*(of.get(axis, "1").split(",") for axis in axes))]


@pytest.mark.parametrize(
    ("cases", "commands"),
    [
        ([("a", "x", "graph", 1), ("b", "x", "graph", 1), ("a", "y", "graph", 1), ("b", "y", "graph", 1)], 1),
        ([("a", "x", "graph", 1), ("b", "y", "graph", 1), ("c", "z", "graph", 1), ("c", "y", "graph", 1)], 3),
        ([("a", "x", "graph", 1), ("a", "x", "eager", 1), ("b", "x", "graph", 1)], 2),
        ([("a", "x", "graph", 1), ("a", "y", "graph", 1), ("a", "x", "eager", 1), ("a", "y", "eager", 1)], 1),
        ([("a", "x", "graph", 2), ("a", "x", "graph", 4), ("b", "x", "graph", 4)], 2),
    ],
)
def test_as_few_commands_as_can_be_name_exactly_these_cases(cases, commands):
    made = [Case(workload=w, precision=p, execution=e, gpus=gpus, size="full") for w, p, e, gpus in cases]
    options = options_of(made, Selection())
    assert sorted(selected(options)) == sorted((w, p, e, str(gpus)) for w, p, e, gpus in cases)
    assert len(options) == commands


def test_a_session_is_narrowed_to_one_record_and_writes_to_no_file_of_its_own(run, full):
    made = run.model_copy(update={"results": tuple(full), "command": "pytest --mp-gpus 1,2 --benchmark-json run.json a.py"})
    assert session_command(made, full[4].record.name, []) == (
        "pytest a.py -m accuracy --mp-workload bert-imdb --mp-precision tf32 --mp-execution graph"
    )


def test_a_drift_is_timed_by_the_tests_of_speed(run, drifted):
    drift = drifted({"fp32": 0.02})
    made = run.model_copy(update={"results": (drift,), "command": "pytest a.py"})
    assert "-m speed " in session_command(made, drift.record.name, [])


def test_what_all_cases_share_is_measured_by_all_of_the_session(run):
    made = run.model_copy(update={"command": "pytest a.py --mp-precision fp32 --mp-markdown=page.md"})
    assert session_command(made, ALL_CASES, []) == "pytest a.py --mp-precision fp32 -m speed"
    assert session_command(made, "", []) == ""


@pytest.mark.parametrize(
    ("command", "narrowed"),
    [
        ("pytest a.py --mp-margin speed=9 --mp-baselines=there", "pytest a.py -m accuracy {} --mp-margin time=1"),
        ("pytest a.py::test[x] b.py a.py::test[y] -q", "pytest a.py b.py -q -m accuracy {} --mp-margin time=1"),
        ("python -m pytest a.py", "python -m pytest a.py -m accuracy {} --mp-margin time=1"),
        ("python -m mpcore scale bert-imdb --json s.json", ""),
    ],
)
def test_a_session_is_told_what_judges_it_now_and_no_other_program_is(run, full, command, narrowed):
    made = run.model_copy(update={"results": tuple(full), "command": command})
    named = "--mp-workload bert-imdb --mp-precision tf32 --mp-execution graph"
    assert session_command(made, full[4].record.name, ["--mp-margin time=1"]) == narrowed.format(named)
