import copy
import json

import pytest

from mpcore.records import LAYOUT, Hardware

TEST = "benchmarks/test_numerics.py::test_numerics[bert-imdb-fp16-amp-eager-tiny]"
NAME = "numerics:bert-imdb-fp16-amp-eager-tiny"
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
    "low_precision_flops_share": 0.9,
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
GPU = HARDWARE | {
    "device": "cuda",
    "name": "NVIDIA H200",
    "memory_bytes": 150_109_880_320,
    "power_limit_watts": 700.0,
    "mig": "off",
    "uuid": "5462ad95-fa27-23e4-67ab-d9701e6f8105",
    "capability": "9.0",
}
ACCEPTED = {"reason": "the first", "datetime": "2026-01-03T00:00:00+00:00", "allowed_failures": []}


@pytest.fixture
def content():
    """What is saved; the second benchmark is somebody else's."""
    return copy.deepcopy(
        {
            "machine_info": {"node": "here", "mpcore": "some-cpu-2-cores"},
            "commit_info": {"id": "0123456789abcdef", "dirty": False},
            "benchmarks": [
                {"fullname": TEST, "extra_info": {"mpcore": NAME}},
                {"fullname": "test_other.py::test_other", "extra_info": {}},
            ],
            "datetime": "2026-01-02T03:04:05.678901+00:00",
            "version": "5.2.0",
            "mpcore": {
                "layout": LAYOUT,
                "command": "pytest benchmarks",
                "datetime": "2026-01-02T03:04:05.678901+00:00",
                "commit": "0123456789abcdef",
                "machine": {"hardware": HARDWARE, "software": {"torch": "2.11.0"}},
                "results": [{"record": RECORD}],
            },
        }
    )


@pytest.fixture
def failing():
    """Gives a result a check that failed, and says how."""
    check = {"kind": "numerics", "case": "x", "metric": "loss error", "status": "failed", "value": 1, "limit": 0}

    def failing(content, sentence="it is too large"):
        content["mpcore"]["results"][0]["checks"] = [check | {"sentence": sentence}]

    return failing


@pytest.fixture
def on_gpu(content):
    content["mpcore"]["machine"]["hardware"] = dict(GPU)
    return content


@pytest.fixture
def hardware():
    return Hardware.model_validate(HARDWARE)


@pytest.fixture
def gpu():
    return Hardware.model_validate(GPU)


@pytest.fixture
def saved(tmp_path):
    """Writes a run, an object or a text, and says where."""

    def saved(content, name="0001_run.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return saved


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "baselines"


@pytest.fixture
def stored(folder):
    """Writes a baseline, an object that has been accepted or a text, and says where."""

    def stored(content, name="0001_01234567.json", key="some-cpu-2-cores"):
        path = folder / key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            content = json.dumps(content | {"mpcore": {"accepted": ACCEPTED} | content["mpcore"]})
        path.write_text(content)
        return path

    return stored
