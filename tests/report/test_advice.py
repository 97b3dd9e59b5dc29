import pytest

from mpcore.records import Selection
from mpcore.report.advice import advice

SAVED = ".benchmarks/Linux/0007_c0ffee_20260102.json"
TYPED = ".benchmarks/Linux/0007_*.json"


def test_where_it_was_saved_and_what_shows_it(outcome, many):
    assert advice(outcome(many(1), saved=[SAVED])).splitlines() == [
        f"saved: {SAVED}",
        "next:",
        f"  python -m mpcore report {TYPED} -o report.html",
    ]


def test_each_file_is_named_and_the_first_is_used(outcome, many):
    text = advice(outcome(many(1), saved=[SAVED, "run.json"]))
    assert f"saved: {SAVED}\nsaved: run.json\n" in text
    assert text.count("run.json") == 1


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
def test_a_path_can_be_typed_in_a_shell(outcome, many, path, typed):
    assert f"report {typed} -o" in advice(outcome(many(1), saved=[path]))


def test_what_was_not_saved_is_said_with_the_options_that_save_it(outcome, many):
    assert advice(outcome(many(1))) == (
        "nothing was saved: --benchmark-autosave saves a run in .benchmarks, --benchmark-json FILE where you like"
    )


def test_where_nothing_was_measured_there_is_no_advice(outcome):
    assert advice(outcome()) == ""


@pytest.mark.parametrize(("status", "advised"), [("better", True), ("new", True), ("same", False), ("undecided", False)])
def test_what_is_better_or_new_can_be_accepted(outcome, run, many, since, status, advised):
    text = advice(outcome(since(many(1), status), saved=[SAVED], accepted=[run]))
    assert (f"  python -m mpcore accept {TYPED} --reason TEXT" in text) is advised


def test_a_session_that_failed_or_did_not_finish_is_not_to_be_accepted(outcome, results, many, since):
    assert "accept" not in advice(outcome(since(results, "better"), saved=[SAVED]))
    assert "accept" not in advice(outcome(since(many(1), "better"), saved=[SAVED], missed=1))


@pytest.mark.parametrize("status", ["worse", "undecided"])
def test_a_time_that_may_have_got_worse_is_sharpened_by_pairs(outcome, run, full, since, status):
    doubtful = [full[0], *since(full[3:4], status), *since(full[9:10], status)]
    text = advice(outcome(doubtful, accepted=[run], saved=[SAVED]))
    assert text.endswith(
        "\n  python -m mpcore ab 0123456789ab --mp-workload bert-imdb --mp-precision tf32,bf16-amp --mp-execution graph"
    )


def test_what_got_worse_comes_before_what_may_have(outcome, run, full, since):
    mixed = [*since(full[3:4], "worse"), *since(full[9:10], "undecided")]
    text = advice(outcome(mixed, accepted=[run], saved=[SAVED]))
    assert text.endswith("--mp-workload bert-imdb --mp-precision tf32 --mp-execution graph")


def test_the_pairs_are_of_what_the_session_measured(outcome, run, full, since):
    selection = Selection(size="full", device="cuda:1", data="my data", load=("own.py", "other.py"))
    unknown = run.model_copy(update={"commit": None})
    text = advice(outcome(since(full[:1], "worse"), accepted=[unknown], selection=selection))
    assert text.endswith(
        "ab BASE --mp-workload bert-imdb --mp-precision fp32 --mp-execution graph --mp-size full --mp-device cuda:1 "
        "--mp-data 'my data' --mp-load own.py --mp-load other.py"
    )


def test_an_eager_time_is_measured_as_eager(outcome, run, full, since):
    assert advice(outcome(since(full[:1], "worse", "eager time"), accepted=[run])).endswith("--mp-execution eager")


def test_pairs_say_nothing_of_errors_or_memory(outcome, run, full, since):
    others = [*since(full[:1], "worse", "memory"), *since(full[2:3], "worse", "gradient error")]
    assert " ab " not in advice(outcome(others, accepted=[run]))


def test_what_all_graphs_share_is_sharpened_by_all_of_them(outcome, run, full, since):
    common = since(full[:1], "worse")[0].verdicts[-1]
    text = advice(outcome(full[:6], common=common, accepted=[run]))
    assert "--mp-precision fp32,tf32 --mp-execution graph" in text
