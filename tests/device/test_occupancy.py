"""Whose a GPU's memory is."""

import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mpcore.device import occupancy as module
from mpcore.device.machine import memory_share
from mpcore.device.occupancy import GpuProcess, Occupancy, asked_bytes, occupancy, processes_on

GIB = 2**30
GPU = torch.device("cuda")


def holding(pid, gib):
    return SimpleNamespace(pid=pid, usedGpuMemory=None if gib is None else gib * GIB)


@pytest.fixture
def gpu(monkeypatch):
    """Of 80 GiB; torch holds 20 of them for this process, and 30 are free."""
    told = SimpleNamespace(computing=[holding(os.getpid(), 21)], drawing=[])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20 * GIB)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 0.5)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0123"))
    monkeypatch.setattr(module, "handle", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda gpu: told.computing)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGraphicsRunningProcesses", lambda gpu: told.drawing)
    monkeypatch.setattr(pynvml, "nvmlSystemGetProcessName", lambda pid: f"/usr/bin/program-{pid}")
    return told


def test_what_others_hold_is_what_nvml_says_of_them(gpu):
    gpu.computing.append(holding(7, 29))
    assert occupancy(GPU) == Occupancy(
        limit=40 * GIB,
        own=20 * GIB,
        free=30 * GIB,
        others=29 * GIB,
        processes=(GpuProcess(7, "program-7", 29 * GIB, draws=False),),
    )


@pytest.mark.parametrize("computing", [[holding(1, 50)], [holding(os.getpid(), 21), holding(7, None)]])
def test_where_nvml_does_not_say_it_is_what_torch_does_not_hold(gpu, computing):
    """In a container this process has another number; and of some processes it does not tell how much they hold."""
    gpu.computing = computing
    assert occupancy(GPU).others == 28 * GIB


def test_a_name_in_bytes_is_read_as_one_in_text(gpu, monkeypatch):
    gpu.computing = [holding(7, 1)]
    monkeypatch.setattr(pynvml, "nvmlSystemGetProcessName", lambda pid: b"/usr/bin/program-7")
    assert processes_on("gpu")[7].name == "program-7"


def test_a_process_that_computes_and_draws_is_one(gpu):
    gpu.computing, gpu.drawing = [holding(7, 1), holding(8, 1)], [holding(7, 1)]
    assert {number: process.draws for number, process in processes_on("gpu").items()} == {7: True, 8: False}


@pytest.mark.parametrize(
    ("others", "asked", "fits"),
    [
        (0, 1, False),  # nobody else is there
        (10, 5, True),
        (10, 21, False),  # more than it may hold
        (1, 12, False),  # more than others could give
    ],
)
def test_a_case_lacks_what_others_hold_or_is_too_large_by_itself(others, asked, fits):
    held = Occupancy(limit=40 * GIB, own=20 * GIB, free=10 * GIB, others=others * GIB, processes=())
    assert held.fits_alone(asked * GIB) is fits


def test_what_was_asked_for_is_in_the_words_of_torch():
    assert asked_bytes("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has") == 3 * GIB // 2
    assert asked_bytes("HIP is out of words") is None


def test_a_cpu_counts_no_memory():
    assert occupancy(torch.device("cpu")) is None


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_case_that_is_too_large_for_a_share_of_the_gpu_is_so_by_itself():
    before = memory_share(GPU)
    torch.cuda.set_per_process_memory_fraction(2 * GIB / torch.cuda.mem_get_info()[1])
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError) as raised:
            torch.empty(3 * GIB, dtype=torch.uint8, device=GPU)
        asked = asked_bytes(str(raised.value))
        assert asked == 3 * GIB
        assert not occupancy(GPU).fits_alone(asked)
    finally:
        torch.cuda.set_per_process_memory_fraction(before)
