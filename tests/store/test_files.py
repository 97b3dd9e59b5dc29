import json
import math

import pytest

from mpcore.records import Accepted, FailedTest, Numerics
from mpcore.store import LAYOUTS, RunError, load, load_published

NAME = "benchmarks/test_numerics.py::test_numerics[bert-imdb-fp16-amp-eager-tiny]"


def refusal(path):
    """The message with which `path` is refused, which is to be one sentence that names it."""
    with pytest.raises(RunError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_saved_run_is_loaded(saved, content):
    path = saved(content)
    run = load(path)
    assert (run.path, run.commit, run.datetime[:10]) == (str(path), "0123456789abcdef", "2026-01-02")
    assert run.machine.hardware.key == "some-cpu-2-cores"
    assert (run.machine.software, run.command) == ({"torch": "2.11.0"}, "pytest benchmarks")
    (result,) = run.results
    assert result.record == Numerics(**content["benchmarks"][0]["extra_info"]["mpcore"]["record"])
    assert (run.failed, run.accepted) == ((), None)


def test_a_path_may_be_a_text(saved, content):
    assert load(str(saved(content))).results


def test_a_run_without_a_commit_is_loaded(saved, content):
    content["commit_info"]["id"] = None
    assert load(saved(content)).commit is None


def test_a_result_without_a_layout_is_of_the_first(saved, content):
    del content["benchmarks"][0]["extra_info"]["mpcore"]["layout"]
    assert refusal(saved(content)).endswith(f"{NAME}: layout 1, this version reads 2 to 3")


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "nowhere.json")


def test_a_folder_is_refused(tmp_path):
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_truncated_file_is_no_json(saved, content, cut):
    assert "is no JSON file" in refusal(saved(json.dumps(content)[:cut]))


def test_a_file_that_is_no_text_is_no_json(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b"\xff\xfe\x00\x81")
    assert "is no JSON file" in refusal(path)


@pytest.mark.parametrize("other", [{}, {"machine_info": {}}])
def test_a_file_of_somebody_else_is_no_run(saved, other):
    assert "is no run of mpcore" in refusal(saved(json.dumps(other)))


@pytest.mark.parametrize(("other", "kind"), [([], "list"), (3, "int"), (None, "NoneType"), ("a", "str")])
def test_a_file_that_holds_no_object_is_no_run(saved, other, kind):
    message = refusal(saved(json.dumps(other)))
    assert message.endswith(f"is no run of mpcore: expected an object of pytest-benchmark's layout, found {kind}")


def test_a_run_of_pytest_benchmark_without_us_is_no_run(saved, content):
    del content["machine_info"]["mpcore"]
    assert "'mpcore' is missing" in refusal(saved(content))


@pytest.mark.parametrize("key", ["machine_info", "commit_info", "benchmarks", "datetime"])
def test_a_key_that_is_missing_is_named(saved, content, key):
    del content[key]
    assert f"{key!r} is missing" in refusal(saved(content))


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("updates", "many", "'many'"),
        ("batch_size", 0, "0"),
        ("case", 7, "7"),
        ("half_flops_share", None, "None"),
        ("loss_error", "small", "'small'"),
    ],
)
def test_a_wrong_value_is_named_with_its_benchmark_and_field(saved, content, field, value, found):
    content["benchmarks"][0]["extra_info"]["mpcore"]["record"][field] = value
    message = refusal(saved(content))
    assert NAME in message
    assert f"{field}: " in message
    assert message.endswith(f"found {found}")


def test_a_benchmark_with_nothing_under_our_key_is_refused(saved, content):
    content["benchmarks"][0]["extra_info"]["mpcore"] = None
    assert NAME in refusal(saved(content))


@pytest.mark.parametrize(
    ("wrong", "place"),
    [({"datetime": 5}, "datetime"), ({"commit_info": {"id": 5}}, "commit")],
    ids=["datetime", "commit"],
)
def test_a_wrong_value_outside_of_the_results_is_refused(saved, content, wrong, place):
    message = refusal(saved(content | wrong))
    assert f": {place}: " in message
    assert message.endswith("found 5")


@pytest.mark.parametrize(
    "wrong",
    [
        {"benchmarks": None},
        {"benchmarks": [3]},
        {"machine_info": []},
        {"commit_info": "abc"},
        {"benchmarks": [{"extra_info": 3}]},
    ],
    ids=["no benchmarks", "a number", "a list", "a text", "no extra information"],
)
def test_another_layout_is_no_run(saved, content, wrong):
    assert "is no run of mpcore: expected pytest-benchmark's layout" in refusal(saved(content | wrong))


def test_a_result_that_is_no_object_is_named_with_its_benchmark(saved, content):
    content["benchmarks"][0]["extra_info"]["mpcore"] = "fast"
    assert f"{NAME}: the record: " in refusal(saved(content))


def test_json_that_is_nested_too_deeply_is_refused(saved):
    assert "is no JSON file" in refusal(saved("[" * 100_000))


def test_a_verdict_from_before_anything_was_known_is_loaded(saved, content):
    verdict = {"kind": "numerics", "case": "x", "metric": "loss error", "status": "worse", "value": 1, "limit": 0}
    content["benchmarks"][0]["extra_info"]["mpcore"]["verdicts"] = [verdict | {"sentence": "it is worse"}]
    assert not load(saved(content)).results[0].passed


def test_a_key_that_is_not_known_is_named(saved, content):
    content["benchmarks"][0]["extra_info"]["mpcore"]["record"]["colour"] = "red"
    assert "colour" in refusal(saved(content))


def test_a_wrong_machine_is_named(saved, content):
    content["machine_info"]["mpcore"]["hardware"]["cores"] = "two"
    assert "machine_info: hardware.cores: " in refusal(saved(content))


def test_a_newer_layout_is_said_to_be_one(saved, content):
    # what else has changed is of no interest: the layout is looked at first
    content["benchmarks"][0]["extra_info"]["mpcore"] = {"layout": 4, "measured": []}
    assert refusal(saved(content)).endswith(f"{NAME}: layout 4, this version reads 2 to 3")


def test_a_long_value_is_cut(saved, content):
    content["benchmarks"][0]["extra_info"]["mpcore"]["record"]["updates"] = "x" * 10_000
    assert len(refusal(saved(content))) < 500


@pytest.mark.parametrize("layout", LAYOUTS)
def test_older_layouts_are_read(saved, content, layout):
    content["benchmarks"][0]["extra_info"]["mpcore"]["layout"] = layout
    assert load(saved(content)).results[0].layout == layout


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_figure_is_named_with_its_place(saved, content, value):
    content["benchmarks"][1]["stats"] = {"data": [1.0, value]}
    assert refusal(saved(content)).endswith(f"benchmarks.1.stats.data.1: expected a finite number, found {value}")


def test_a_figure_that_is_too_large_is_none(saved, content):
    assert "expected a finite number, found inf" in refusal(saved(json.dumps(content).replace("1.5", "1e999")))


def test_published_figures_are_finite(tmp_path):
    path = tmp_path / "paper.json"
    path.write_text('[{"source": "x", "memory_gb": NaN}]')
    with pytest.raises(RunError, match=r"paper.json: 0.memory_gb: expected a finite number"):
        load_published(tmp_path)


def test_a_benchmark_that_is_there_twice_is_refused(saved, content):
    content["benchmarks"].append(content["benchmarks"][0])
    assert refusal(saved(content)).endswith(f"{NAME}: numerics of bert-imdb-fp16-amp-eager-tiny is there twice")


def test_a_case_under_two_names_is_refused(saved, content):
    content["benchmarks"].append(content["benchmarks"][0] | {"fullname": "test_again"})
    assert refusal(saved(content)).endswith("test_again: numerics of bert-imdb-fp16-amp-eager-tiny is there twice")


def test_a_name_that_is_no_text_is_refused(saved, content):
    content["benchmarks"][0]["fullname"] = ["a"]
    assert "fullname of a benchmark: expected a text, found ['a']" in refusal(saved(content))


def test_what_failed_is_what_was_told_and_what_verdicts_show(saved, content):
    verdict = {"kind": "numerics", "case": "x", "metric": "loss error", "status": "worse", "value": 1, "limit": 0}
    content["benchmarks"][0]["extra_info"]["mpcore"]["verdicts"] = [verdict | {"sentence": "it is worse"}]
    content["mpcore"]["failed"] = [{"test": "test_speed[x]", "sentence": "out of memory"}]
    shown = FailedTest(test=NAME, sentence="it is worse")
    assert load(saved(content)).failed == (FailedTest(test="test_speed[x]", sentence="out of memory"), shown)
    content["mpcore"]["failed"] = [{"test": NAME, "sentence": "told"}]
    assert load(saved(content)).failed == (FailedTest(test=NAME, sentence="told"),)


@pytest.mark.parametrize(
    ("failed", "place"),
    [(3, "failed: "), ([3], "failed.0: "), ([{"test": "x"}], "failed.0.sentence: "), ([{"test": 3, "sentence": ""}], "test: ")],
)
def test_what_failed_is_named_where_it_cannot_be_read(saved, content, failed, place):
    content["mpcore"]["failed"] = failed
    assert place in refusal(saved(content))


def test_why_a_run_was_accepted_is_read(saved, content):
    why = {"reason": "the first", "datetime": "2026-01-03", "overruled": [NAME]}
    content["mpcore"]["accepted"] = why
    assert load(saved(content)).accepted == Accepted(**why)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [("yes", "the record"), ({"reason": "x"}, "datetime"), ({"reason": 1, "datetime": "x"}, "reason")],
)
def test_why_a_run_was_accepted_is_named_where_it_cannot_be_read(saved, content, wrong, place):
    content["mpcore"]["accepted"] = wrong
    assert f"mpcore.accepted: {place}: " in refusal(saved(content))


@pytest.mark.parametrize("wrong", [None, 3, "text", []])
def test_our_key_holds_an_object(saved, content, wrong):
    content["mpcore"] = wrong
    assert "is no run of mpcore: expected pytest-benchmark's layout" in refusal(saved(content))
