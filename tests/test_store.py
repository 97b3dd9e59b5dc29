import json

import pytest

from mpcore.records import Numerics
from mpcore.store import RunError, load

NAME = "benchmarks/test_numerics.py::test_numerics[bert-imdb-fp16-amp-eager-tiny]"
RECORD = {
    "kind": "numerics",
    "case": {"workload": "bert-imdb", "precision": "fp16-amp", "execution": "eager", "size": "tiny", "seed": 0},
    "workload_version": 1,
    "device": "cpu",
    "batch_size": 32,
    "unit": "reviews",
    "seconds": 1.5,
    "loss_error": 1e-4,
    "gradient_error": None,
    "flushed_share": 0.0,
    "updates": 20,
    "update_error": 0.01,
    "skipped_steps": 0,
    "half_flops_share": 0.9,
}
HARDWARE = {
    "device": "cpu",
    "name": "Some CPU",
    "count": 1,
    "memory_bytes": None,
    "power_limit_watts": None,
    "mig": None,
    "uuid": None,
    "capability": None,
    "cpu": "Some CPU",
    "cores": 2,
}


@pytest.fixture
def content():
    """What pytest-benchmark saves, as far as it is read; the second benchmark is somebody else's."""
    return json.loads(
        json.dumps(
            {
                "machine_info": {
                    "node": "here",
                    "mpcore": {"hardware": HARDWARE, "software": {"torch": "2.11.0"}},
                },
                "mpcore": {"command": "pytest benchmarks"},
                "commit_info": {"id": "0123456789abcdef", "dirty": False},
                "benchmarks": [
                    {"fullname": NAME, "extra_info": {"mpcore": {"layout": 2, "record": RECORD, "verdicts": []}}},
                    {"fullname": "test_other.py::test_other", "extra_info": {}},
                ],
                "datetime": "2026-01-02T03:04:05.678901+00:00",
                "version": "5.2.0",
            }
        )
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "0001_run.json"

    def saved(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return saved


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
    assert run.machine.hardware.model_dump(exclude={"default_watts"}) == HARDWARE
    assert (run.machine.software, run.command) == ({"torch": "2.11.0"}, "pytest benchmarks")
    (result,) = run.results
    assert result.record == Numerics(**RECORD)


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
