"""The GPU's clocks, power and temperature, as NVML tells them, or does not."""

import os
from itertools import count
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mpcore.device.nvml import NvmlSampler
from mpcore.device.pynvml import Installed

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class FakeNvml:
    """Of one GPU that draws 500 watts, read ten times a second; the first reading is made by whoever begins to sample."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self):
        self.reasons = 0
        self.pids = [os.getpid()]
        self.broken = set()
        self.names = {"GPU-0123": "the handle"}
        self._millijoules = count(7_000_000, 50_000)

    def _answer(self, name, value):
        if name in self.broken:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return value

    def nvmlInit(self):
        return self._answer("init", None)

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.names:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.names[uuid]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._answer("energy", next(self._millijoules))

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._answer("clock", {("the handle", pynvml.NVML_CLOCK_SM): 1980}[handle, kind])

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("power", 500_250)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._answer("temperature", {pynvml.NVML_TEMPERATURE_GPU: 51}[sensor])

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return self._answer("reasons", self.reasons)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._answer("processes", [SimpleNamespace(pid=pid) for pid in self.pids])


@pytest.fixture
def nvml(monkeypatch):
    fake, ticks = FakeNvml(), count(100)
    monkeypatch.setattr("mpcore.device.nvml.pynvml", fake)
    monkeypatch.setattr("mpcore.device.nvml.time", SimpleNamespace(perf_counter=lambda: next(ticks) / 10))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    return fake


def test_a_cpu_is_not_sampled_and_says_why():
    sampler = NvmlSampler(CPU)
    sampler.clear()
    assert sampler.reason == "no GPU"
    assert sampler.sample() is False
    assert sampler.summary() is None


def test_nvml_that_does_not_answer_is_a_reason(nvml):
    nvml.broken.add("init")
    sampler = NvmlSampler(GPU)
    assert sampler.reason == "NVML does not answer: GPU is lost"
    assert sampler.sample() is False
    assert sampler.summary() is None


def test_each_sample_is_a_reading(nvml):
    sampler = NvmlSampler(GPU)
    assert sampler.reason is None
    slowed = [sampler.sample() for _ in range(4)]
    summary = sampler.summary()
    assert slowed == [False] * 4
    assert summary.at_seconds == pytest.approx((0, 0.1, 0.2, 0.3))  # since the first of the four
    assert summary.sm_mhz == (1980,) * 4
    assert summary.watts == (500.25,) * 4
    assert summary.celsius == (51,) * 4
    assert summary.joules == (7050, 7100, 7150, 7200)
    assert summary.mean_watts == pytest.approx(500)
    assert (summary.limits, summary.other_processes) == ((), 0)


def test_without_a_sample_there_is_no_summary(nvml):
    assert NvmlSampler(GPU).summary() is None


def test_other_processes_are_counted_without_our_own(nvml):
    sampler = NvmlSampler(GPU)
    sampler.sample()
    nvml.pids += [os.getpid() + 1, os.getpid() + 2]
    assert sampler.summary().other_processes == 2


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
    sampler = NvmlSampler(GPU)
    assert sampler.sample() is slowed
    assert sampler.summary().limits == (name,)


def test_an_idle_gpu_is_not_held_back(nvml):
    nvml.reasons = pynvml.nvmlClocksEventReasonGpuIdle
    sampler = NvmlSampler(GPU)
    assert not sampler.sample()
    assert sampler.summary().limits == ()


def test_limits_of_all_readings_are_kept(nvml):
    sampler = NvmlSampler(GPU)
    seen = []
    for nvml.reasons in (pynvml.nvmlClocksEventReasonSwPowerCap, pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, 0):
        seen.append(sampler.sample())
    assert seen == [False, True, False]
    assert sampler.summary().limits == ("power cap", "thermal slowdown")


def test_what_was_seen_before_is_forgotten_where_a_case_begins(nvml):
    sampler = NvmlSampler(GPU)
    nvml.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    sampler.sample()
    nvml.reasons = 0
    sampler.clear()
    sampler.sample()
    summary = sampler.summary()
    assert (summary.at_seconds, summary.limits) == ((0.0,), ())


def test_a_field_that_the_gpu_does_not_tell_costs_that_field_only(nvml):
    nvml.broken |= {"power", "reasons"}
    sampler = NvmlSampler(GPU)
    assert sampler.sample() is False
    state = sampler.summary()
    assert (state.sm_mhz, state.celsius, state.watts, state.limits) == ((1980,), (51,), (), None)
    assert state.untold == {"power": "GPU is lost", "limits of its clock": "GPU is lost"}


def test_a_name_that_nvidia_ml_py_lacks_costs_its_field_only(nvml, monkeypatch):
    monkeypatch.setattr("mpcore.device.nvml.pynvml", Installed(nvml))
    monkeypatch.delattr(FakeNvml, "nvmlDeviceGetCurrentClocksEventReasons")
    sampler = NvmlSampler(GPU)
    assert sampler.sample() is False
    state = sampler.summary()
    assert (state.sm_mhz, state.watts, state.limits) == ((1980,), (500.25,), None)
    lacking = "the installed nvidia-ml-py has no nvmlDeviceGetCurrentClocksEventReasons"
    assert state.untold == {"limits of its clock": lacking}


def test_a_field_that_it_stops_telling_in_the_middle_is_dropped_whole(nvml):
    sampler = NvmlSampler(GPU)
    sampler.sample()
    nvml.broken.add("power")
    assert sampler.sample() is False
    nvml.broken.clear()
    sampler.sample()
    state = sampler.summary()
    assert (len(state.sm_mhz), state.watts, state.untold) == (3, (), {"power": "GPU is lost"})


def test_nvml_that_stops_answering_is_a_reason_and_no_error(nvml):
    sampler = NvmlSampler(GPU)
    sampler.sample()
    nvml.broken |= {"clock", "power", "temperature", "energy", "reasons"}
    assert sampler.sample() is False
    assert sampler.reason == "NVML does not answer: GPU is lost"
    assert sampler.summary() is None


def test_processes_that_it_does_not_tell_are_not_known(nvml):
    nvml.broken.add("processes")
    sampler = NvmlSampler(GPU)
    sampler.sample()
    assert sampler.summary().other_processes is None


def test_in_a_container_this_process_is_one_of_those_with_other_numbers(nvml):
    nvml.pids = [1, 2]
    sampler = NvmlSampler(GPU)
    sampler.sample()
    assert sampler.summary().other_processes == 1


def test_a_list_without_this_process_tells_nothing(nvml):
    nvml.pids = []
    sampler = NvmlSampler(GPU)
    sampler.sample()
    state = sampler.summary()
    assert state.other_processes is None
    assert state.untold == {"processes on it": "it lists none, and not even this one"}


def test_a_part_of_a_gpu_is_asked_by_its_own_name(nvml):
    nvml.names = {"MIG-0123": "the handle"}
    sampler = NvmlSampler(GPU)
    sampler.sample()
    assert sampler.summary().sm_mhz == (1980,)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_is_sampled_or_says_why():
    sampler = NvmlSampler(torch.device("cuda"))
    sampler.sample()
    assert (sampler.summary() is None) is (sampler.reason is not None)
