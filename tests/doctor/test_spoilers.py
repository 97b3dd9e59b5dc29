"""What would spoil figures is named, one sentence for each."""

import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mpcore.doctor import gpu, host

GPU, CPU = torch.device("cuda"), torch.device("cpu")
QUIET = {
    "nvmlInit": None,
    "nvmlDeviceGetHandleByUUID": "the handle",
    "nvmlDeviceGetClockInfo": 1980,
    "nvmlDeviceGetPowerUsage": 70_000,
    "nvmlDeviceGetTotalEnergyConsumption": 1,
    "nvmlDeviceGetTemperature": 35,
    "nvmlDeviceGetTemperatureThreshold": 87,
    "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonGpuIdle,
    "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=os.getpid())],
    "nvmlDeviceGetGraphicsRunningProcesses": [],
    "nvmlDeviceGetDisplayActive": 0,
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=2**30, total=80 * 2**30),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=0),
    "nvmlDeviceGetMigMode": [0, 0],
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeMode": 0,
    "nvmlDeviceGetEnforcedPowerLimit": 700_000,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetApplicationsClock": 1980,
    "nvmlDeviceGetDefaultApplicationsClock": 1980,
}
"""What an idle GPU says, that nothing is wrong with."""


@pytest.fixture
def told(monkeypatch):
    """What NVML answers, by the name of the question; an exception is raised."""
    answers = dict(QUIET)

    def asking(name):
        def answer(*_):
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return answer

    for name in QUIET:
        monkeypatch.setattr(pynvml, name, asking(name))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    monkeypatch.setattr(torch, "zeros", lambda *_, device: None)
    return answers


def test_nothing_is_found_where_nothing_is_wrong(told):
    assert list(gpu.gpu_spoilers(GPU)) == []


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        ("nvmlDeviceGetComputeRunningProcesses", [SimpleNamespace(pid=1)] * 3, "other processes are on the GPU (2)"),
        ("nvmlDeviceGetComputeRunningProcesses", [], "NVML does not tell the GPU's processes on it: it lists none"),
        ("nvmlDeviceGetGraphicsRunningProcesses", [1, 2], "processes draw with the GPU (2)"),
        ("nvmlDeviceGetDisplayActive", 1, "a display is active on the GPU"),
        (
            "nvmlDeviceGetMemoryInfo",
            SimpleNamespace(used=11 * 2**30, total=80 * 2**30),
            "10.0 GiB of the GPU's memory are taken",
        ),
        ("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=90), "the GPU is 90 % busy"),
        ("nvmlDeviceGetMigMode", [1, 1], "MIG is on"),
        ("nvmlDeviceGetPersistenceMode", 0, "persistence mode is off"),
        ("nvmlDeviceGetComputeMode", 3, "the compute mode admits one process"),
        ("nvmlDeviceGetEnforcedPowerLimit", 500_000, "the power limit is 500 W and not the usual 700 W"),
        ("nvmlDeviceGetApplicationsClock", 1200, "the applications clock is 1200 MHz and not the usual 1980 MHz"),
        ("nvmlDeviceGetCurrentClocksEventReasons", 0x40, "the GPU is held back: thermal slowdown"),
        ("nvmlDeviceGetTemperature", 85, "the GPU has 85 degrees, and slows down at 87"),
        ("nvmlDeviceGetPowerUsage", pynvml.NVMLError(3), "NVML does not tell the GPU's power: Not Supported"),
        ("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVMLError(3), "NVML does not tell the GPU's energy: Not Supported"),
        (
            "nvmlDeviceGetPersistenceMode",
            pynvml.NVMLError(3),
            "NVML does not tell whether its driver stays loaded: Not Supported",
        ),
        ("nvmlInit", pynvml.NVMLError(9), "NVML does not answer: Driver Not Loaded: clocks, power, temperature"),
    ],
)
def test_what_is_wrong_with_a_gpu_is_named(told, question, answer, sentence):
    told[question] = answer
    (found,) = gpu.gpu_spoilers(GPU)
    assert found.startswith(sentence)


@pytest.mark.parametrize("question", ["nvmlDeviceGetMigMode", "nvmlDeviceGetDisplayActive", "nvmlDeviceGetApplicationsClock"])
def test_what_many_gpus_do_not_have_is_no_fault(told, question):
    told[question] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert list(gpu.gpu_spoilers(GPU)) == []


@pytest.fixture
def calm(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(host, "_quota", lambda: None)
    monkeypatch.setattr(host, "_hidden_gpu", lambda device: [])
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100 * 2**30))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def test_a_calm_machine_has_nothing_to_say(calm, tmp_path):
    assert list(host.host_spoilers(CPU, tmp_path, {"PATH": "/bin", "CUDA_LAUNCH_BLOCKING": ""})) == []


@pytest.mark.parametrize("name", host.VARIABLES)
def test_a_variable_that_changes_a_step_is_named(calm, tmp_path, name):
    (found,) = host.host_spoilers(CPU, tmp_path, {name: "1"})
    assert found == f"{name}=1 is set: {host.VARIABLES[name]}"


def test_others_on_the_cores_are_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.1, 0.1))
    (found,) = host.host_spoilers(CPU, tmp_path, {})
    assert found.startswith("99.0 processes want to run on ")


def test_a_container_that_stops_the_process_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_quota", lambda: 0.5)
    (found,) = host.host_spoilers(CPU, tmp_path, {})
    assert found.startswith("this process may use 0.5 of ")


def test_a_full_disk_is_named_for_all_that_lies_on_it(calm, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**29))
    runs, compiled = host.host_spoilers(CPU, tmp_path / "not" / "there", {})
    assert runs == f"{tmp_path}, where runs are saved, has 0.5 GiB left: expected 2"
    assert "where torch keeps what it compiles, has 0.5 GiB left" in compiled


def test_a_folder_that_cannot_be_written_to_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    (found,) = host.host_spoilers(CPU, tmp_path, {})
    assert found == f"{tmp_path}, where runs are saved, cannot be written to"


def test_a_missing_compiler_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert list(host.host_spoilers(CPU, tmp_path, {})) == ["compile needs a C++ compiler, and none is on the path"]


def test_a_gpu_that_torch_does_not_see_is_named(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (found,) = host._hidden_gpu(CPU)
    assert found.startswith("NVML sees 1 GPU, and torch none: torch ")
