import json
import shutil
from pathlib import Path

import pytest
from refused import one_sentence

from mpcore.gate import SHIPPED
from mpcore.records import Hardware, Sensitivities
from mpcore.store import (
    RunError,
    accepted,
    accepted_last,
    add_sensitivities,
    all_accepted,
    comparable,
    files_in,
    write_calibration,
)


def refusal(folder, hardware):
    """The message with which the baselines are refused, which is to be one sentence."""
    return one_sentence(RunError, accepted, folder, hardware)


def result(content):
    return content["mpcore"]["results"][0]


def hardware_of(content):
    return content["mpcore"]["machine"]["hardware"]


def of_time(content, datetime):
    return content | {"mpcore": content["mpcore"] | {"datetime": datetime}}


def test_without_a_folder_there_is_none(folder, hardware):
    assert accepted(folder, hardware) == []
    (folder / hardware.key).mkdir(parents=True)
    assert accepted(folder, hardware) == []


def test_a_link_to_nowhere_is_not_taken_for_none(folder, hardware):
    folder.mkdir(parents=True)
    (folder / hardware.key).symlink_to(folder / "nowhere")
    assert "is a link to" in refusal(folder, hardware)


def test_what_is_kept_beside_accepted_runs_is_none_of_them(content, stored, folder, hardware):
    stored(content)
    add_sensitivities(folder, Sensitivities(hardware=hardware.key))
    write_calibration(folder, SHIPPED["nvidia-h200"].model_copy(update={"hardware": hardware.key}))
    assert len(list((folder / hardware.key).iterdir())) == 3
    assert len(accepted(folder, hardware)) == 1
    assert [path.name for path in files_in(folder)] == ["0001_01234567.json"]


def test_of_a_suite_that_was_accepted_in_parts_each_case_counts_that_was_last(content, stored, folder, hardware):
    other, batch = (json.loads(json.dumps(content).replace("bert-imdb", name)) for name in ("ncf-movielens", "bert-imdb"))
    result(batch)["record"]["case"]["batch_size"] = 64
    both = content | {"mpcore": content["mpcore"] | {"results": [result(content), result(other)]}}
    for number, each in enumerate((both, other, content, batch), 1):
        stored(of_time(each, f"2026-01-0{number}T00:00:00+00:00"), f"000{number}_abc.json")
    last = accepted_last(accepted(folder, hardware))
    assert [(run.datetime[8:10], *(r.record.case.id for r in run.results)) for run in last] == [
        ("04", "bert-imdb-fp16-amp-eager-tiny-b64"),
        ("03", "bert-imdb-fp16-amp-eager-tiny"),
        ("02", "ncf-movielens-fp16-amp-eager-tiny"),
    ]


def test_what_was_accepted_in_an_older_version_of_a_workload_counts_no_more(content, stored, folder, hardware):
    newer = json.loads(json.dumps(content).replace("fp16-amp", "fp32"))
    result(newer)["record"]["workload_version"] = 2
    for number, each in enumerate((content, newer), 1):
        stored(of_time(each, f"2026-01-0{number}T00:00:00+00:00"), f"000{number}_abc.json")
    assert [run.path for run in accepted_last(accepted(folder, hardware))] == [str(folder / hardware.key / "0002_abc.json")]


def test_one_without_results_is_none_to_compare_with(content, stored, folder, hardware):
    content["mpcore"]["results"] = []
    stored(content)
    assert "has no results" in refusal(folder, hardware)


def test_the_oldest_comes_first(content, stored, folder, hardware):
    """By its number: runs are not always accepted in the order in which they were made."""
    for number, day in (("10000", "2026-01-01"), ("0002", "2026-01-03"), ("9999", "2026-01-02")):
        stored(of_time(content, f"{day}T00:00:00+00:00"), f"{number}_abc.json")
    assert [run.datetime[:10] for run in accepted(folder, hardware)] == ["2026-01-03", "2026-01-02", "2026-01-01"]


def test_those_of_other_machines_are_not_read(content, stored, folder, hardware, gpu):
    stored(content)
    stored("{", key="nvidia-h200")
    assert len(accepted(folder, hardware)) == 1
    assert "is no JSON file" in refusal(folder, gpu)


def test_a_baseline_says_why(content, stored, folder, hardware):
    path = stored(content)
    (run,) = accepted(folder, hardware)
    assert (run.path, run.accepted.reason) == (str(path), "the first")


BAD = {
    "an older layout": (lambda c: c["mpcore"].pop("layout"), "is of an older layout: `python -m mpcore convert --in-place "),
    "a newer layout": (lambda c: c["mpcore"].update(layout="5.0"), "layout '5.0': this version reads 4."),
    "a layout that is none": (lambda c: c["mpcore"].update(layout="new"), "layout 'new'"),
    "a wrong type": (lambda c: result(c)["record"].update(updates="many"), "record.numerics.updates: "),
    "no record": (lambda c: result(c).pop("record"), "record: Field required"),
    "a key that is missing in a record": (lambda c: result(c)["record"].pop("update_error"), "update_error: Field required"),
    "no run": (lambda c: c.pop("mpcore"), "expected an object under 'mpcore', found None"),
    "no results": (lambda c: c["mpcore"].pop("results"), "results: Field required"),
    "no machine": (lambda c: c["mpcore"].pop("machine"), "machine: Field required"),
    "a case twice": (lambda c: c["mpcore"]["results"].append(result(c)), "is there twice"),
    "not a number": (
        lambda c: result(c)["record"].update(loss_error=float("nan")),
        "record.loss_error: expected a finite number",
    ),
    "infinity": (lambda c: c.update(version=float("-inf")), "version: expected a finite number, found -inf"),
    "nobody accepted it": (lambda c: c["mpcore"].update(accepted=None), "'mpcore.accepted' is missing"),
    "accepted for no reason": (
        lambda c: c["mpcore"].update(accepted={"datetime": "2026-01-03T00:00:00+00:00"}),
        "accepted.reason: ",
    ),
    "another machine": (
        lambda c: hardware_of(c).update(name="Other CPU"),
        "a run on other-cpu-2-cores in the folder of some-cpu",
    ),
    "other cores": (lambda c: hardware_of(c).update(cores=64), "a run on some-cpu-64-cores in the folder of some-cpu"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_a_bad_one_is_named_and_not_taken_for_none(content, stored, folder, hardware, change, said):
    stored(of_time(content, "2026-02-03T04:05:06+00:00"), "0002_abc.json")
    change(content)
    path = stored(content if "mpcore" in content else json.dumps(content))
    message = refusal(folder, hardware)
    assert message.startswith(str(path))
    assert said in message


@pytest.mark.parametrize("cut", [0, 1, 400])
def test_a_truncated_one_is_named(content, stored, folder, hardware, cut):
    path = stored(json.dumps(content)[:cut])
    assert refusal(folder, hardware).startswith(f"{path} is no JSON file: ")


@pytest.mark.parametrize("name", ["0001.json", "first_abc.json", "001_abc.json", "0001_a b.json"])
def test_a_name_without_a_number_has_no_place_in_the_order(content, stored, folder, hardware, name):
    path = stored(content, name)
    assert refusal(folder, hardware) == f"{path} is no name of a baseline: expected one such as 0001_0123abcd.json"


def test_what_is_no_json_file_by_name_is_left_alone(content, stored, folder, hardware):
    stored(content)
    stored("half of a run", ".0002_abc.json.tmp")
    stored("what is here", "README.md")
    assert len(accepted(folder, hardware)) == 1


def test_a_folder_that_is_a_file_is_said(folder, hardware):
    folder.mkdir()
    (folder / hardware.key).write_text("")
    assert refusal(folder, hardware) == f"cannot read {folder / hardware.key}: Not a directory"


def test_a_baseline_that_is_a_folder_is_said(folder, hardware):
    path = folder / hardware.key / "0001_abc.json"
    path.mkdir(parents=True)
    assert refusal(folder, hardware) == f"{path} is a folder: expected a file"


@pytest.mark.parametrize("method", ["iterdir", "read_bytes"])
def test_what_may_not_be_read_is_said(content, stored, folder, hardware, monkeypatch, method):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    path = stored(content)
    monkeypatch.setattr(Path, method, denied)  # root may read everything
    assert refusal(folder, hardware) == f"cannot read {path if method == 'read_bytes' else path.parent}: Permission denied"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "NVIDIA H100"}, "nvidia-h200 is not nvidia-h100"),
        ({"mig": "on"}, "nvidia-h200 is not nvidia-h200-mig"),
        ({"memory_bytes": 100 * 2**30}, "140 GiB of memory is not 100 GiB"),
        ({"memory_bytes": None}, "140 GiB of memory is not an unknown number of GiB"),
        ({"power_limit_watts": 600.0}, "a power limit of 700 W is not 600 W"),
        ({"power_limit_watts": None}, "a power limit of 700 W is not an unknown number of W"),
        ({"power_limit_watts": 600.0, "default_watts": 700.0}, "nvidia-h200 is not nvidia-h200-600w"),
    ],
)
def test_machines_are_told_apart(gpu, changes, said):
    other = gpu.model_copy(update=changes)
    assert comparable(gpu, other) == said
    assert comparable(other, gpu) is not None


def test_how_many_gpus_there_are_is_none_of_it(gpu):
    """How many a step is spread over, its case says."""
    assert comparable(gpu, gpu.model_copy(update={"count": 8})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"uuid": "another"},
        {"memory_bytes": 149 * 10**9},
        {"power_limit_watts": 699.9},
        {"default_watts": 700.0},
        {"cpu": "x"},
    ],
)
def test_machines_of_a_kind_are_comparable(gpu, changes):
    assert comparable(gpu, gpu.model_copy(update=changes)) is None


@pytest.mark.parametrize(("field", "value"), [("memory_bytes", 100 * 2**30), ("power_limit_watts", 600.0)])
def test_a_baseline_from_another_machine_of_that_name_is_refused(on_gpu, stored, folder, gpu, field, value):
    path = stored(on_gpu, key="nvidia-h200")
    assert len(accepted(folder, gpu)) == 1
    message = refusal(folder, gpu.model_copy(update={field: value}))
    assert message.startswith(f"{path}: its machine cannot be compared with this one: ")


def test_baselines_of_two_machines_in_one_folder_are_refused(on_gpu, stored, folder):
    first = stored(on_gpu, key="nvidia-h200")
    hardware_of(on_gpu)["power_limit_watts"] = 500.0
    second = stored(on_gpu, "0002_abc.json", key="nvidia-h200")
    with pytest.raises(RunError) as caught:
        all_accepted(folder)
    assert str(caught.value).startswith(f"{second}: its machine cannot be compared with the one in {first}: ")


def test_all_of_them_by_machine(content, stored, folder):
    stored(content)
    stored(of_time(content, "2026-02-03T04:05:06+00:00"), "0002_abc.json")
    stored("what is here", "README.md", key=".")
    (folder / "empty").mkdir()
    assert {key: len(runs) for key, runs in all_accepted(folder).items()} == {"some-cpu-2-cores": 2}
    shutil.rmtree(folder)
    assert all_accepted(folder) == {}


def test_a_run_that_is_there_twice_counts_as_no_two(content, stored, folder):
    first, second = stored(content), stored(content, "0001_copy.json")
    with pytest.raises(RunError) as caught:
        all_accepted(folder)
    assert str(caught.value) == f"{second} is the run that {first} is, too: remove one of them"


def test_a_folder_that_cannot_be_looked_into_is_said(content, stored, folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    stored(content)
    monkeypatch.setattr(Path, "is_dir", denied)
    with pytest.raises(RunError, match=f"cannot read {folder}: Permission denied"):
        all_accepted(folder)


def test_where_all_of_them_are_must_be_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(RunError, match=f"cannot read {path}: Not a directory"):
        all_accepted(path)


def test_a_laptop_s_power_limit_moves_and_is_no_setting():
    known = {"device": "cuda", "count": 1, "memory_bytes": 8 * 2**30, "mig": None, "uuid": "0", "capability": "8.9", "cpu": "c"}
    a, b = (Hardware(name="RTX 4070 Laptop GPU", power_limit_watts=watts, cores=8, **known) for watts in (80.0, 115.0))
    assert comparable(a, b) is None
    a, b = (each.model_copy(update={"name": "RTX 4070"}) for each in (a, b))
    assert comparable(a, b) == "a power limit of 80 W is not 115 W"
