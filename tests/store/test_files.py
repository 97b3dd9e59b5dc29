import json
import math
import os
import time
from pathlib import Path

import pytest
from refused import one_sentence

import mpcore
from mpcore.records import LAYOUT, Accepted, FailedTest, Numerics
from mpcore.store import RunError, check_writable, load, load_either, load_published, to_run, write

NAME = "numerics:bert-imdb-fp16-amp-eager-tiny"
MAJOR, MINOR = LAYOUT.split(".")
NEWER = f"{MAJOR}.{int(MINOR) + 7}"
ROOT = Path(__file__).parent.parent.parent


def refusal(path):
    """The message with which `path` is refused, which is to be one sentence that names it."""
    message = one_sentence(RunError, load, path)
    assert str(path) in message
    return message


def result(content):
    return content["mpcore"]["results"][0]


def test_a_saved_run_is_loaded(saved, content):
    path = saved(content)
    run = load(path)
    assert (run.path, run.commit, run.datetime[:10]) == (str(path), "0123456789abcdef", "2026-01-02")
    assert run.machine.hardware.key == "some-cpu-2-cores"
    assert (run.machine.software, run.command) == ({"torch": "2.11.0"}, "pytest benchmarks")
    assert run.results[0].record == Numerics(**result(content)["record"])
    assert (len(run.results), run.failed, run.accepted) == (1, (), None)


def test_the_runs_of_a_folder_are_one_frame(saved, content):
    path = saved(content)
    (path.parent / "calibration.json").write_text("{}")
    assert list(mpcore.load(path.parent).run) == list(mpcore.load([path]).run) == [str(path)]


def test_a_path_may_be_a_text(saved, content):
    assert load(str(saved(content))).results


def test_a_run_without_a_commit_is_loaded(saved, content):
    content["mpcore"]["commit"] = None
    assert load(saved(content)).commit is None


def test_a_run_is_written_as_it_was_loaded(saved, content, failing):
    failing(content)
    run = load(saved(content))
    path = saved(content | {"mpcore": run.model_dump(mode="json")}, "again.json")
    assert load(path) == run.model_copy(update={"path": str(path)})
    assert "path" not in json.loads(path.read_text())["mpcore"]


def test_a_large_file_is_read_at_once():
    """Nobody waits for ten baselines. They take 0.02 s each."""
    path = max(ROOT.glob("baselines/*/*.json"), key=lambda path: path.stat().st_size)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        load(path)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.2


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "nowhere.json")


def test_a_folder_is_refused(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path} is a folder: expected a file"


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_truncated_file_is_no_json(saved, content, cut):
    assert "is no JSON file" in refusal(saved(json.dumps(content)[:cut]))


def test_a_file_that_is_no_text_is_no_json(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b"\xff\xfe\x00\x81")
    assert "is no JSON file" in refusal(path)


def test_json_that_is_nested_too_deeply_is_refused(saved):
    assert "is no JSON file" in refusal(saved("[" * 100_000))


@pytest.mark.parametrize("other", [{}, {"machine_info": {}, "benchmarks": [], "datetime": "2026-01-03T00:00:00+00:00"}])
def test_a_file_of_somebody_else_is_no_run(saved, other):
    assert "is no run of mpcore: expected an object under 'mpcore', found None" in refusal(saved(other))


@pytest.mark.parametrize(("other", "kind"), [([], "list"), (3, "int"), (None, "NoneType"), ("a", "str")])
def test_a_file_that_holds_no_object_is_no_run(saved, other, kind):
    message = refusal(saved(json.dumps(other)))
    assert message.endswith(f"is no run of mpcore: expected an object of pytest-benchmark's layout, found {kind}")


@pytest.mark.parametrize("wrong", [None, 3, "text", []])
def test_our_key_holds_an_object(saved, content, wrong):
    content["mpcore"] = wrong
    assert refusal(saved(content)).endswith(f"is no run of mpcore: expected an object under 'mpcore', found {wrong!r}")


def test_what_pytest_benchmark_keeps_is_its_own(saved, content):
    for key in ("machine_info", "commit_info", "benchmarks", "datetime", "version"):
        del content[key]
    assert load(saved(content)).results


@pytest.mark.parametrize("key", ["command", "datetime", "commit", "machine", "results"])
def test_a_key_that_is_missing_is_named(saved, content, key):
    del content["mpcore"][key]
    assert f"mpcore: {key}: Field required" in refusal(saved(content))


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("updates", "many", "'many'"),
        ("batch_size", 0, "0"),
        ("flushed_share", "none", "'none'"),
        ("loss_error", "small", "'small'"),
    ],
)
def test_a_wrong_value_is_named_with_its_record_and_field(saved, content, field, value, found):
    result(content)["record"][field] = value
    message = refusal(saved(content))
    assert f", {NAME}: results.0.record.numerics.{field}: " in message
    assert message.endswith(f"found {found}")


@pytest.mark.parametrize("wrong", [None, "fast", {}, {"record": 3}, {"record": {"kind": "numerics", "case": 7}}])
def test_a_result_that_cannot_be_named_is_counted(saved, content, wrong):
    content["mpcore"]["results"].append(wrong)
    assert ", mpcore: results.1" in refusal(saved(content))


def test_a_record_of_an_unknown_kind_is_refused(saved, content):
    result(content)["record"]["kind"] = "smell"
    assert "'numerics'" in refusal(saved(content))


@pytest.mark.parametrize(
    "wrong", ["yesterday", "", "2026-13-01", "2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00+02:00"]
)
def test_a_date_that_is_none_or_has_no_zone_is_refused(saved, content, wrong):
    content["mpcore"]["datetime"] = wrong
    message = refusal(saved(content))
    assert "mpcore: datetime: " in message
    assert message.endswith(f"expected a date and time with its zone, such as 2026-01-31T12:00:00+00:00, found {wrong!r}")


def test_a_date_of_acceptance_without_a_zone_is_refused(saved, content):
    content["mpcore"]["accepted"] = {"reason": "the first", "datetime": "2026-01-31T12:00:00"}
    assert "mpcore: accepted.datetime: Value error, expected a date and time with its zone, such as " in refusal(saved(content))


@pytest.mark.parametrize("same", ["2026-01-31T13:00:00+02:00", "2026-01-31T11:00:00Z", "2026-01-31 11:00+00:00"])
def test_a_date_of_any_zone_is_the_same_in_utc(saved, content, same):
    """Runs are sorted by its text."""
    content["mpcore"]["datetime"] = same
    assert load(saved(content)).datetime == "2026-01-31T11:00:00+00:00"


@pytest.mark.parametrize(("wrong", "place"), [({"datetime": 5}, "datetime"), ({"commit": 5}, "commit")])
def test_a_wrong_value_outside_of_the_results_is_refused(saved, content, wrong, place):
    content["mpcore"] |= wrong
    message = refusal(saved(content))
    assert f"mpcore: {place}: " in message
    assert message.endswith("found 5")


@pytest.mark.parametrize(
    ("commit", "uncommitted"), [({"dirty": True}, True), ({"dirty": False}, False), ({}, False), (None, False), ([], False)]
)
def test_whether_the_tree_had_other_changes_is_read_from_what_pytest_benchmark_keeps(saved, content, commit, uncommitted):
    content["commit_info"] = commit
    assert load(saved(content)).uncommitted is uncommitted


def test_a_wrong_machine_is_named(saved, content):
    content["mpcore"]["machine"]["hardware"]["cores"] = "two"
    assert "mpcore: machine.hardware.cores: " in refusal(saved(content))


@pytest.mark.parametrize("layout", [LAYOUT, f"{MAJOR}.0"])
def test_a_key_that_is_not_known_is_named(saved, content, layout):
    content["mpcore"]["layout"] = layout
    result(content)["record"]["colour"] = "red"
    assert "colour" in refusal(saved(content))


def test_what_a_newer_minor_layout_adds_is_kept(saved, content):
    content["mpcore"] |= {"layout": NEWER, "weather": {"rain": True}}
    result(content)["record"]["colour"] = "red"
    run = load(saved(content))
    assert (run.layout, run.weather, run.results[0].record.colour) == (NEWER, {"rain": True}, "red")


def test_a_newer_minor_layout_is_checked_all_the_same(saved, content):
    content["mpcore"]["layout"] = NEWER
    result(content)["record"]["updates"] = "many"
    assert "record.numerics.updates: " in refusal(saved(content))


@pytest.mark.parametrize("layout", [f"{int(MAJOR) + 1}.0", "4", "four", 4, 4.0, None, [4, 0]])
def test_another_layout_is_said_to_be_one(saved, content, layout):
    content["mpcore"] = {"layout": layout, "measured": []}  # what else has changed is of no interest
    assert f"layout {layout!r}: this version reads {LAYOUT} and later ones of {MAJOR}" in refusal(saved(content))


def test_an_older_layout_is_told_what_makes_it_one_of_today(saved, content):
    content["mpcore"] = {"command": "pytest", "failed": [], "missed": 0}
    path = saved(content, "my run.json")
    assert f"`python -m mpcore convert --in-place '{path}'`" in refusal(path)


def test_a_long_value_is_cut(saved, content):
    result(content)["record"]["updates"] = "x" * 10_000
    assert len(refusal(saved(content))) < 500


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_figure_is_named_with_its_place(saved, content, value):
    content["benchmarks"][1]["stats"] = {"data": [1.0, value]}
    assert refusal(saved(content)).endswith(f"benchmarks.1.stats.data.1: expected a finite number, found {value}")


def test_a_word_that_looks_like_no_figure_is_a_word(saved, content):
    content["mpcore"]["command"] = "pytest -k 'NaN or Infinity or 1e999'"
    assert load(saved(content)).command == content["mpcore"]["command"]


def test_a_figure_that_is_too_large_is_none(saved, content):
    message = refusal(saved(json.dumps(content).replace("1.5", "1e999")))
    assert message.endswith("mpcore.results.0.record.seconds: expected a finite number, found inf")


def test_published_figures_are_finite(tmp_path):
    path = tmp_path / "paper.json"
    path.write_text('[{"source": "x", "memory_gb": NaN}]')
    with pytest.raises(RunError, match=r"paper.json: 0.memory_gb: expected a finite number"):
        load_published(tmp_path)


def test_published_figures_are_named_where_they_cannot_be_read(tmp_path):
    (tmp_path / "paper.json").write_text('[{"source": "x"}]')
    with pytest.raises(RunError, match=r"paper.json: 0.workload: Field required"):
        load_published(tmp_path)


def test_a_folder_without_published_figures_is_refused(tmp_path):
    with pytest.raises(RunError, match="expected a folder with JSON files"):
        load_published(tmp_path)


def test_a_file_may_hold_published_figures_or_a_run(saved, content):
    figures = load_either(ROOT / "published" / "naik.json")
    assert figures[0].source
    assert load_either(saved(content)).results


def test_an_empty_list_holds_neither(tmp_path):
    path = tmp_path / "list.json"
    path.write_text("[]")
    with pytest.raises(RunError, match=r"list.json: expected a run or a list of published figures, found an empty list"):
        load_either(path)


def test_a_link_stays_and_what_is_no_file_is_written_to(tmp_path):
    target, link, pipe = (tmp_path / name for name in ("target.json", "link.json", "pipe"))
    link.symlink_to(target)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe):
        check_writable(path)
        write({path: "text"})
    assert (link.is_symlink(), target.read_text(), pipe.is_fifo(), os.read(reader, 9)) == (True, "text", True, b"text")
    os.close(reader)


def test_a_case_that_is_there_twice_is_refused(saved, content):
    content["mpcore"]["results"] *= 2
    assert refusal(saved(content)).endswith(": numerics of bert-imdb-fp16-amp-eager-tiny is there twice")


def test_what_failed_is_what_was_told_and_what_results_show(saved, content, failing):
    failing(content)
    told = {"test": "test_speed[x]", "name": "speed:x", "sentence": "out of memory"}
    content["mpcore"]["failed"] = [told]
    shown = FailedTest(test=NAME, name=NAME, sentence="it is too large")
    assert load(saved(content)).failed == (FailedTest(**told), shown)
    content["mpcore"]["failed"] = [{"test": "test_numerics[x]", "name": NAME, "sentence": "told"}]
    assert [failure.sentence for failure in load(saved(content)).failed] == ["told"]


@pytest.mark.parametrize(
    ("failed", "place"),
    [(3, "failed: "), ([3], "failed.0: "), ([{"test": "x"}], "failed.0.sentence: "), ([{"test": 3, "sentence": ""}], "test: ")],
)
def test_what_failed_is_named_where_it_cannot_be_read(saved, content, failed, place):
    content["mpcore"]["failed"] = failed
    assert place in refusal(saved(content))


def test_why_a_run_was_accepted_is_read(saved, content):
    why = {"reason": "the first", "datetime": "2026-01-03T00:00:00+00:00", "allowed_failures": [NAME], "reset": [NAME]}
    content["mpcore"]["accepted"] = why
    assert load(saved(content)).accepted == Accepted(**why)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("yes", "accepted: "),
        ({"reason": "x"}, "accepted.datetime: "),
        ({"reason": 1, "datetime": "2026-01-03T00:00:00+00:00"}, "accepted.reason: "),
    ],
)
def test_why_a_run_was_accepted_is_named_where_it_cannot_be_read(saved, content, wrong, place):
    content["mpcore"]["accepted"] = wrong
    assert f"mpcore: {place}" in refusal(saved(content))


def test_a_run_knows_where_it_is_read_from_and_not_what_it_says(content):
    content["mpcore"]["path"] = "elsewhere.json"
    assert to_run("here.json", content).path == "here.json"
