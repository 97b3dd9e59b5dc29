import os
import platform
import subprocess
import sys
from itertools import count
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mpcore.hardware import (
    ALLOCATOR_VARIABLES,
    GpuWatch,
    default_device,
    large_blocks_split,
    probe,
    software,
    synchronise,
)
from mpcore.measure import Bench

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_has_a_name_and_cores_and_nothing_of_a_gpu():
    hardware = probe(CPU)
    assert (hardware.device, hardware.count) == ("cpu", 1)
    assert hardware.name
    assert hardware.name == hardware.cpu
    assert 1 <= hardware.cores <= (os.cpu_count() or 1)
    gpu = (hardware.memory_bytes, hardware.power_limit_watts, hardware.mig, hardware.uuid, hardware.capability)
    assert gpu == (None,) * 5


def test_software_names_torch_as_it_was_built():
    versions = software()
    assert versions["torch"] == torch.__version__
    assert versions["python"] == platform.python_version()
    assert {"transformers", "datasets", "pytest-benchmark"} <= versions.keys()


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr("mpcore.hardware.PACKAGES", ("torch", "no-such-package-at-all"))
    assert "no-such-package-at-all" not in software()


@pytest.fixture
def told(monkeypatch):
    """What the allocator is told; no variable is set."""
    for name in ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    settings = []
    monkeypatch.setattr(torch._C, "_accelerator_setAllocatorSettings", settings.append)
    return settings


def test_whoever_measures_keeps_large_blocks_whole(told):
    Bench(CPU)
    assert told == ["max_split_size_mb:4096"]


def test_blocks_are_split_while_a_graph_is_captured_however_that_ends(told):
    with pytest.raises(ZeroDivisionError), large_blocks_split():
        raise ZeroDivisionError
    assert told == ["max_split_size_mb:1048576", "max_split_size_mb:4096"]


@pytest.mark.parametrize("name", ALLOCATOR_VARIABLES)
def test_what_the_user_has_told_the_allocator_stays(told, monkeypatch, name):
    monkeypatch.setenv(name, "expandable_segments:True")
    Bench(CPU)
    with large_blocks_split():
        assert told == []
    assert told == []


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, available, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert default_device() == torch.device(device)


def test_a_cpu_has_nothing_to_wait_for(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    synchronise(CPU)
    assert waits == []


class FakeNvml:
    """Of one GPU that draws 500 watts, read ten times a second; the first reading is made by whoever begins to watch."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self):
        self.reasons = 0
        self.pids = [os.getpid()]
        self.broken = set()
        self._millijoules = count(7_000_000, 50_000)

    def _answer(self, name, value):
        if name in self.broken:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return value

    def nvmlInit(self):
        return self._answer("init", None)

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"GPU-0123": "the handle"}[uuid]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return next(self._millijoules)

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return {("the handle", pynvml.NVML_CLOCK_SM): 1980}[handle, kind]

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("power", 500_250)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return {pynvml.NVML_TEMPERATURE_GPU: 51}[sensor]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return self.reasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._answer("processes", [SimpleNamespace(pid=pid) for pid in self.pids])


@pytest.fixture
def nvml(monkeypatch):
    fake, ticks = FakeNvml(), count(100)
    monkeypatch.setattr("mpcore.hardware.pynvml", fake)
    monkeypatch.setattr("mpcore.hardware.time", SimpleNamespace(perf_counter=lambda: next(ticks) / 10))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    return fake


def test_a_cpu_is_watched_by_nobody_and_says_why():
    watch = GpuWatch(CPU)
    watch.clear()
    assert watch.reason == "no GPU"
    assert watch.look() is False
    assert watch.state() is None


def test_nvml_that_does_not_answer_is_a_reason(nvml):
    nvml.broken.add("init")
    watch = GpuWatch(GPU)
    assert watch.reason == "NVML does not answer: GPU is lost"
    assert watch.look() is False
    assert watch.state() is None


def test_each_look_is_a_reading(nvml):
    watch = GpuWatch(GPU)
    assert watch.reason is None
    looks = [watch.look() for _ in range(4)]
    state = watch.state()
    assert looks == [False] * 4
    assert state.at_seconds == pytest.approx((0, 0.1, 0.2, 0.3))  # since the first of the four
    assert state.sm_mhz == (1980,) * 4
    assert state.watts == (500.25,) * 4
    assert state.celsius == (51,) * 4
    assert state.joules == (7050, 7100, 7150, 7200)
    assert state.mean_watts == pytest.approx(500)
    assert (state.limits, state.other_processes) == ((), 0)


def test_nobody_looked_so_there_is_no_state(nvml):
    assert GpuWatch(GPU).state() is None


def test_other_processes_are_counted_without_our_own(nvml):
    watch = GpuWatch(GPU)
    watch.look()
    nvml.pids += [os.getpid() + 1, os.getpid() + 2]
    assert watch.state().other_processes == 2


@pytest.mark.parametrize(
    ("reason", "name", "slowed"),
    [
        (pynvml.nvmlClocksEventReasonSwPowerCap, "power cap", False),
        (pynvml.nvmlClocksEventReasonApplicationsClocksSetting, "applications clocks", False),
        (pynvml.nvmlClocksEventReasonSyncBoost, "sync boost", False),
        (pynvml.nvmlClocksEventReasonDisplayClockSetting, "display clocks", False),
        (pynvml.nvmlClocksThrottleReasonHwSlowdown, "hardware slowdown", True),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "software thermal slowdown", True),
        (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "thermal slowdown", True),
        (pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "power brake", True),
    ],
)
def test_what_holds_a_gpu_back_is_named_and_a_slowdown_is_told_from_a_cap(nvml, reason, name, slowed):
    nvml.reasons = reason
    watch = GpuWatch(GPU)
    assert watch.look() is slowed
    assert watch.state().limits == (name,)


def test_an_idle_gpu_is_not_held_back(nvml):
    nvml.reasons = pynvml.nvmlClocksEventReasonGpuIdle
    watch = GpuWatch(GPU)
    assert not watch.look()
    assert watch.state().limits == ()


def test_limits_of_all_readings_are_kept(nvml):
    watch = GpuWatch(GPU)
    seen = []
    for nvml.reasons in (pynvml.nvmlClocksEventReasonSwPowerCap, pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, 0):
        seen.append(watch.look())
    assert seen == [False, True, False]
    assert watch.state().limits == ("power cap", "thermal slowdown")


def test_what_was_seen_before_is_forgotten_where_a_case_begins(nvml):
    watch = GpuWatch(GPU)
    nvml.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    watch.look()
    nvml.reasons = 0
    watch.clear()
    watch.look()
    state = watch.state()
    assert (state.at_seconds, state.limits) == ((0.0,), ())


def test_nvml_that_stops_answering_in_the_middle_is_a_reason_and_no_error(nvml):
    watch = GpuWatch(GPU)
    watch.look()
    nvml.broken.add("power")
    assert watch.look() is False
    assert watch.reason == "NVML no longer answers: GPU is lost"
    assert watch.state() is None
    nvml.broken.clear()
    watch.clear()
    assert watch.look() is False  # half of a run says less than nothing
    assert watch.state() is None


def test_nvml_that_stops_answering_at_the_end_is_a_reason_and_no_error(nvml):
    watch = GpuWatch(GPU)
    watch.look()
    nvml.broken.add("processes")
    assert watch.state() is None
    assert watch.reason == "NVML no longer answers: GPU is lost"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_tells_its_memory_and_capability():
    hardware = probe(torch.device("cuda"))
    assert hardware.device == "cuda"
    assert hardware.memory_bytes > 2**30
    assert float(hardware.capability) >= 5


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_is_watched_or_says_why():
    watch = GpuWatch(torch.device("cuda"))
    watch.look()
    assert (watch.state() is None) is (watch.reason is not None)


SMALL_AFTER_LARGE = """
import torch
from mpcore.measure import Bench

torch.zeros(1, device="cuda")
Bench(torch.device("cuda"))
large = torch.empty(6 * 2**30, dtype=torch.uint8, device="cuda")
del large
small = torch.empty(2**26, dtype=torch.uint8, device="cuda")
torch.cuda.empty_cache()
print(torch.cuda.memory_reserved())
"""


LARGER_AFTER_LARGE = """
import torch
from mpcore.execution import WARM_UP, Graph
from mpcore.measure import Bench

gpu = torch.device("cuda")
Bench(gpu)
torch.cuda.set_per_process_memory_fraction(8 * 2**30 / torch.cuda.get_device_properties(gpu).total_memory)
fits = []

def workspace(gib):
    try:
        torch.empty(gib * 2**30, dtype=torch.uint8, device=gpu)
    except torch.cuda.OutOfMemoryError:
        return False
    return True

def step(batch):
    fits.append([workspace(5), workspace(7)])
    return model(batch["x"])

model = torch.nn.Linear(2, 1, device=gpu)
run = Graph(step, model)
with torch.no_grad():
    for _ in range(WARM_UP + 1):
        run({"x": torch.ones(1, 2, device=gpu)})
print(run.captured, fits[0], fits[-1])
"""


def in_a_process_of_its_own(code, monkeypatch):
    """Whose allocator is told by nobody else."""
    for name in ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_small_tensor_does_not_hold_a_large_block(monkeypatch):
    assert int(in_a_process_of_its_own(SMALL_AFTER_LARGE, monkeypatch)) < 2**30


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_capture_goes_on_without_a_workspace_that_does_not_fit(monkeypatch):
    """As cuDNN does, which takes its next algorithm then."""
    assert in_a_process_of_its_own(LARGER_AFTER_LARGE, monkeypatch) == "True [True, True] [True, False]"
