"""What the machine says of itself."""

import os
import platform

import pynvml
import pytest
import torch

from mpcore.device import nvml
from mpcore.device.machine import default_device, memory_share, probe, refused, software, synchronise

CPU = torch.device("cpu")


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
    monkeypatch.setattr("mpcore.device.machine.PACKAGES", ("torch", "no-such-package-at-all"))
    assert "no-such-package-at-all" not in software()


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, available, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert default_device() == torch.device(device)


def test_what_torch_takes_for_a_gpu_of_nvidia_is_refused(monkeypatch):
    assert refused(None) is None
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert refused("cuda") == "this torch is made for GPUs of AMD (ROCm 6.4): expected one for NVIDIA's, or --mp-device cpu"
    assert refused("cpu") is None


def test_a_gpu_of_intel_is_not_passed_over_in_silence(monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert refused(None) == "the GPU of this machine is Intel's: expected one of NVIDIA, or --mp-device cpu"


def test_windows_is_pointed_to_its_linux(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert "expected Linux, as in WSL2" in refused("cpu")


def test_a_cpu_has_nothing_to_wait_for(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    synchronise(CPU)
    assert waits == []


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_tells_its_memory_and_capability():
    hardware = probe(torch.device("cuda"))
    assert hardware.device == "cuda"
    assert hardware.memory_bytes > 2**30
    assert float(hardware.capability) >= 5


def test_a_clock_that_is_locked_is_told_and_the_usual_one_is_none(monkeypatch):
    for told, locked in ((1200, 1200), (1980, None)):
        monkeypatch.setattr(nvml, "handle", lambda uuid: uuid)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetApplicationsClock", lambda gpu, kind, told=told: told)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetDefaultApplicationsClock", lambda gpu, kind: 1980)
        assert nvml.settings_of("0")["locked_mhz"] == locked


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_the_usual_gpu_has_no_number_and_yet_a_share_of_its_memory(monkeypatch, name):
    """torch's own function runs, but for what a GPU answers."""
    monkeypatch.setattr("torch.cuda.memory._lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch._C, "_cuda_getMemoryFraction", {0: 0.5, 1: 0.25}.get, raising=False)
    assert memory_share(torch.device(name)) == (0.25 if name == "cuda:1" else 0.5)
