"""What would spoil figures is named, one sentence for each."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mpcore.device import nvml
from mpcore.device.nvml import handle
from mpcore.doctor import gpu, host
from mpcore.doctor.spoilers import short


def listed(*numbers):
    return [SimpleNamespace(pid=number, usedGpuMemory=None) for number in numbers]


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
    "nvmlDeviceIsMigDeviceHandle": 0,
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeMode": 0,
    "nvmlDeviceGetEnforcedPowerLimit": 700_000,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetApplicationsClock": 1980,
    "nvmlDeviceGetDefaultApplicationsClock": 1980,
    "nvmlDeviceGetMaxClockInfo": 1980,
    "nvmlSystemGetProcessName": "/usr/bin/program",
}
"""What an idle GPU says, that nothing is wrong with."""


@pytest.fixture
def told(monkeypatch):
    """What NVML answers, by the name of the question; an exception is raised."""
    answers = QUIET | {"share": 1.0, "load": ((1965, 1980), ("power cap",)), "memory": [3201, 3201], "highest of memory": 3201}

    def asking(name):
        def answer(*_):
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return answer

    for name in QUIET:
        monkeypatch.setattr(pynvml, name, asking(name))
    highest = {pynvml.NVML_CLOCK_SM: "nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_MEM: "highest of memory"}
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMaxClockInfo", lambda handle, kind: asking(highest[kind])())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: answers["share"])
    monkeypatch.setattr(torch, "zeros", lambda *_, device: None)
    monkeypatch.setattr(gpu, "_loaded", lambda device, sampler: answers["load"])
    monkeypatch.setattr(gpu, "_loaded_memory", lambda device, handle: asking("memory")())
    return answers


def test_nothing_is_found_where_nothing_is_wrong(told):
    assert list(gpu.gpu_spoilers(GPU, load=True)) == []


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        (
            "nvmlDeviceGetComputeRunningProcesses",
            listed(1, 2, 3),
            "other processes are on the GPU (2): NVML does not say",
        ),
        ("nvmlDeviceGetComputeRunningProcesses", listed(os.getpid(), 7), "other processes are on the GPU: program (7)"),
        ("nvmlDeviceGetComputeRunningProcesses", [], "NVML does not tell the GPU's processes on it: it lists none"),
        (
            "nvmlDeviceGetGraphicsRunningProcesses",
            listed(7, 8),
            "processes draw with the GPU, as those of a desktop do",
        ),
        ("nvmlDeviceGetDisplayActive", 1, "a display is active on the GPU"),
        (
            "nvmlDeviceGetMemoryInfo",
            SimpleNamespace(used=12 * 2**30, total=80 * 2**30),
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
        ("share", 0.2, "this process may use 20 % of the GPU's memory only"),
        ("load", ((1300, 1980), ()), "the GPU's clock moves under load, from 1300 to 1980 MHz"),
        ("load", ((1300, 1980), ("power cap",)), "the GPU's clock moves under load, from 1300 to 1980 MHz (power cap)"),
        ("load", ((1200, 1200), ()), "the GPU's clock stays at 1200 of 1980 MHz, and NVML does not say why"),
        (
            "load",
            ((1200, 1200), ("applications clocks",)),
            "the GPU's clock stays at 1200 of 1980 MHz, held back by applications clocks",
        ),
        ("nvmlDeviceGetMaxClockInfo", pynvml.NVMLError(3), "NVML does not tell the GPU's highest clock: Not Supported"),
        ("memory", [1600, 3201], "the GPU's memory clock moves under load, from 1600 to 3201 MHz"),
        (
            "memory",
            [2619, 2619],
            "the GPU's memory clock stays at 2619 of 3201 MHz, and NVML does not say why. nvidia-smi -lmc may have locked it",
        ),
        ("memory", pynvml.NVMLError(3), "NVML does not tell the GPU's memory clock: Not Supported"),
        ("highest of memory", pynvml.NVMLError(3), "NVML does not tell the GPU's highest memory clock: Not Supported"),
        ("nvmlDeviceGetClockInfo", pynvml.NVMLError(3), "NVML does not tell the GPU's clock: Not Supported"),
        ("nvmlDeviceGetCurrentClocksEventReasons", pynvml.NVMLError(3), "NVML does not tell the GPU's limits of its clock"),
        ("nvmlDeviceGetTemperatureThreshold", pynvml.NVMLError(3), "NVML does not tell at how many degrees it slows down"),
        ("nvmlDeviceGetMemoryInfo", pynvml.NVMLError(3), "NVML does not tell how much of its memory is taken"),
        ("nvmlDeviceGetComputeMode", pynvml.NVMLError(3), "NVML does not tell its compute mode"),
        ("nvmlDeviceGetEnforcedPowerLimit", pynvml.NVMLError(3), "NVML does not tell its power limit"),
        ("nvmlInit", pynvml.NVMLError(9), "NVML does not answer: Driver Not Loaded: clocks, power, temperature"),
    ],
)
def test_what_is_wrong_with_a_gpu_is_named(told, question, answer, sentence):
    told[question] = answer
    (found,) = gpu.gpu_spoilers(GPU, load=True)
    assert found.startswith(sentence)


def test_a_part_of_a_gpu_is_looked_at_in_all_that_nvml_tells_of_it(told):
    """Under MIG it tells neither clocks nor power."""
    for question in (
        *("nvmlDeviceGetClockInfo", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption"),
        *("nvmlDeviceGetTemperature", "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetMigMode"),
    ):
        told[question] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    told["nvmlDeviceIsMigDeviceHandle"] = 1
    told["nvmlDeviceGetMemoryInfo"] = SimpleNamespace(used=12 * 2**30, total=20 * 2**30)
    told["share"] = 0.5
    found = list(gpu.gpu_spoilers(GPU, load=True))
    assert [sentence.partition(":")[0] for sentence in found] == [
        "this process may use 50 % of the GPU's memory only (set_per_process_memory_fraction)",
        "NVML does not tell the GPU's clock, power, temperature and energy",
        "10.0 GiB of the GPU's memory are taken before anything is measured",
        "MIG is on",
        "NVML does not tell at how many degrees it slows down",
    ]


def test_a_lowered_memory_is_seen_without_nvml(told):
    told |= {"nvmlInit": pynvml.NVMLError(9), "share": 0.5}
    assert [sentence[:20] for sentence in gpu.gpu_spoilers(GPU, load=True)] == ["this process may use", "NVML does not answer"]


def test_a_clock_that_is_not_told_hides_none_of_the_memory(told):
    told |= {"load": ((), None), "memory": [2619, 2619]}
    (found,) = gpu.gpu_spoilers(GPU, load=True)
    assert found.startswith("the GPU's memory clock stays at 2619 of 3201 MHz")


def test_the_memory_is_asked_for_its_own_clock_while_it_multiplies(monkeypatch):
    monkeypatch.setattr(gpu, "_multiply", lambda a: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch, "randn", lambda *_, **options: None)
    clocks = {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 3201}
    monkeypatch.setattr(pynvml, "nvmlDeviceGetClockInfo", lambda handle, kind: clocks[kind])
    assert gpu._loaded_memory(CPU, "the handle") == gpu.LOADS * [3201]


@pytest.mark.parametrize("call", ["zeros", "load"])
def test_a_gpu_that_is_full_or_taken_is_named(told, monkeypatch, call):
    def full(*_, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. See documentation\nmore")

    monkeypatch.setattr(*((torch, "zeros") if call == "zeros" else (gpu, "_loaded")), full)
    (found,) = gpu.gpu_spoilers(GPU, load=True)
    assert found == "torch cannot compute on the GPU now: CUDA out of memory. Tried to allocate 2.00 MiB"


@pytest.mark.parametrize("value", ["", "0", "False"])
def test_a_variable_that_switches_nothing_on_spoils_nothing(value):
    assert list(host._variables({"TORCH_COMPILE_DISABLE": value, "CUDA_LAUNCH_BLOCKING": value})) == []


def test_zero_may_be_a_setting():
    assert list(host._variables({"NVIDIA_TF32_OVERRIDE": "0"})) == [
        "NVIDIA_TF32_OVERRIDE=0 is set: TF32 is the same in all modes"
    ]


@pytest.mark.parametrize("question", ["nvmlDeviceGetMigMode", "nvmlDeviceGetDisplayActive", "nvmlDeviceGetApplicationsClock"])
def test_what_many_gpus_do_not_have_is_no_fault(told, question):
    told[question] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert list(gpu.gpu_spoilers(GPU, load=True)) == []


NAMES = sorted(
    {name for module in (gpu, nvml) for name in re.findall(r"pynvml\.(\w+)", Path(module.__file__).read_text())}
    - {"pynvml", "NVMLError"}
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_nvidia_ml_py_lacks_is_told_and_hides_nothing_else(told, monkeypatch, name):
    told["share"] = 0.5
    monkeypatch.delattr(pynvml, name)
    first, *others = gpu.gpu_spoilers(GPU, load=True)
    assert first.startswith("this process may use 50 %")
    assert len(others) == (2 if name in ("NVML_CLOCK_SM", "nvmlDeviceGetMaxClockInfo") else 1)  # of two clocks
    assert all(f": the installed nvidia-ml-py has no {name}" in sentence for sentence in others)


@pytest.fixture
def calm(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(host, "_quota", lambda: None)
    monkeypatch.setattr(host, "_hidden_gpu", lambda device: [])
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100 * 2**30))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def test_a_calm_machine_has_nothing_to_say(calm, tmp_path):
    assert list(host.host_spoilers(CPU, tmp_path, {"PATH": "/bin", "CUDA_LAUNCH_BLOCKING": ""}, {"eager", "compile"})) == []


@pytest.mark.parametrize("name", host.VARIABLES)
def test_a_variable_that_changes_a_step_is_named(calm, tmp_path, name):
    (found,) = host.host_spoilers(CPU, tmp_path, {name: "1"}, {"eager", "compile"})
    assert found == f"{name}=1 is set: {host.VARIABLES[name]}"


def test_others_on_the_cores_are_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.1, 0.1))
    (found,) = host.host_spoilers(CPU, tmp_path, {}, {"eager", "compile"})
    assert found.startswith("99.0 processes wanted to run in the last minute, on ")


def test_a_container_that_stops_the_process_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_quota", lambda: 0.5)
    (found,) = host.host_spoilers(CPU, tmp_path, {}, {"eager", "compile"})
    assert found.startswith("this process may use 0.5 of ")


def test_a_full_disk_is_named_for_all_that_lies_on_it(calm, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**29))
    runs, compiled = host.host_spoilers(CPU, tmp_path / "not" / "there", {}, {"eager", "compile"})
    assert runs == f"{tmp_path}, where runs are saved, has 0.5 GiB left: expected 2"
    assert "where torch keeps what it compiles, has 0.5 GiB left" in compiled


def test_a_folder_that_cannot_be_written_to_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    (found,) = host.host_spoilers(CPU, tmp_path, {}, {"eager", "compile"})
    assert found == f"{tmp_path}, where runs are saved, cannot be written to"


def test_a_missing_compiler_is_named(calm, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    assert list(host.host_spoilers(CPU, tmp_path, {}, {"eager", "compile"})) == [
        "compile needs a C++ compiler: expected g++ on the path, or CXX that names one"
    ]
    assert list(host.host_spoilers(CPU, tmp_path, {}, {"eager"})) == []


def test_a_gpu_that_torch_does_not_see_is_named(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (found,) = host._hidden_gpu(CPU)
    assert found.startswith("NVML sees 1 GPU, and torch none: torch ")


def test_the_start_of_a_session_says_it_in_one_line():
    assert short([]) == []
    assert short(["a"]) == ["would spoil figures: a"]
    assert short(["a", "b", "c"]) == ["would spoil figures: a, and 2 things more (python -m mpcore doctor)"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_real_gpu_is_looked_at_in_every_respect():
    assert all(isinstance(sentence, str) for sentence in gpu.gpu_spoilers(GPU, load=True))
    clocks, _ = gpu._loaded(GPU, gpu.NvmlSampler(GPU))
    assert len(clocks) in (0, gpu.LOADS)
    assert len(gpu._loaded_memory(GPU, handle(str(torch.cuda.get_device_properties(GPU).uuid)))) == gpu.LOADS
