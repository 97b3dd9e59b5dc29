"""What the machine is: the device, and the versions of the software on it."""

import os
import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import torch

from mpcore.device.nvml import settings_of
from mpcore.device.pynvml import pynvml, text_of
from mpcore.records import Hardware
from mpcore.system import on_windows

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "numpy", "triton", "pytest", "pytest-benchmark", "mpcore")

WITH_HBM = ((8, 0), (9, 0), (10, 0), (10, 3))
"""Compute capabilities of NVIDIA's chips that have HBM and BF16. Those with GDDR have others of the same generations."""


MEMORY_CLASSES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 141, 180)
"""GB that GPUs, or parts of them, are sold with."""
OF_CLASS = 0.9
"""The least share of them, in GiB, that such a GPU has for programs: a T4 of 16 GB has 14.6."""
FAST_FP64 = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))
"""Compute capabilities that have half as many units for FP64 as for FP32 (CUDA C++ Programming Guide, throughput of arithmetic
instructions). All others have a 32nd or a 64th: what takes an H100 seconds takes a T4 minutes."""
FP64_RATES, SLOW_FP64_RATE = dict.fromkeys(FAST_FP64, 1 / 2) | {(7, 5): 1 / 32}, 1 / 64
"""Of FP64, over the rate of FP32, by compute capability (the same table). The slow one is of all others."""
SLOW_FP64 = 4
"""How many times fewer samples are computed in FP64 on a GPU that is slow in it."""


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def refused(name: str | None) -> str | None:
    """Why nothing is measured on the device of this name, None for the usual one, though torch may know how to; or None."""
    if reason := on_windows():
        return reason
    if name == "cpu":
        return None
    if torch.version.hip:
        return f"this torch is made for GPUs of AMD (ROCm {torch.version.hip}): expected one for NVIDIA's, or --mp-device cpu"
    if torch.xpu.is_available() and not torch.cuda.is_available():
        return "the GPU of this machine is Intel's: expected one of NVIDIA, or --mp-device cpu"
    return None


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was given; a CPU has done so already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def lost(device: torch.device) -> bool:
    """Whether this process can use the device no more: after some errors of CUDA every call fails, until the process ends."""
    if device.type != "cuda" or not torch.cuda.is_initialized():
        return False
    try:
        synchronise(device)
    except RuntimeError:
        return True
    return False


def name_and_capability(gpu: torch.device) -> str:
    """ "Tesla T4 with 7.5", for sentences on what a GPU cannot do."""
    major, minor = torch.cuda.get_device_capability(gpu)
    return f"{torch.cuda.get_device_name(gpu)} with {major}.{minor}"


def fast_in_fp64(device: torch.device) -> bool:
    """Whether FP64 takes it about twice as long as FP32, as it does a CPU, and not 32 times or more."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device) in FAST_FP64


def has_fast_fp64(capability: str) -> bool:
    """The same of a GPU of a compute capability, such as "9.0"."""
    return _numbers(capability) in FAST_FP64


def fp64_rate(capability: str) -> float:
    """How fast FP64 is, over the rate of FP32."""
    return FP64_RATES.get(_numbers(capability), SLOW_FP64_RATE)


def _numbers(capability: str) -> tuple[int, int]:
    major, minor = map(int, capability.split("."))
    return major, minor


def memory_class(gpu: torch.device) -> int:
    """The largest of `MEMORY_CLASSES` that it can be one of: equal for equal GPUs, whatever driver they have. For a process
    that may use a part of the memory only the GPU is that small."""
    return class_of(usable_memory(gpu) or 0)


def class_of(memory_bytes: int) -> int:
    """The same of so many bytes."""
    gib = memory_bytes / 2**30
    return max((size for size in MEMORY_CLASSES if OF_CLASS * size <= gib), default=MEMORY_CLASSES[0])


def usable_memory(device: torch.device) -> int | None:
    """Bytes of the GPU that this process may use; None for a CPU, where nobody counts them."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.get_device_properties(device).total_memory * memory_share(device))


def memory_share(gpu: torch.device) -> float:
    """The share of its memory that this process may use. torch wants a number here, where `cuda` alone has none."""
    return torch.cuda.get_per_process_memory_fraction(gpu.index)


def in_data_centre(device: torch.device) -> bool:
    """Whether it is a GPU with HBM, made for training: an A30 or A100, H100, H200, B200 or B300."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in WITH_HBM


def probe(device: torch.device, label: str | None = None) -> Hardware:
    """The record of this machine, as far as it tells: what a GPU alone has is None for a CPU. label: what it is called."""
    cpu = _cpu_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type != "cuda":
        return Hardware(
            device="cpu", name=cpu, count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
            capability=None, cpu=cpu, cores=cores, label=label,
        )  # fmt: skip
    properties = torch.cuda.get_device_properties(device)
    return Hardware(
        device="cuda",
        name=properties.name,
        count=torch.cuda.device_count(),
        memory_bytes=properties.total_memory,
        **settings_of(str(properties.uuid)),
        uuid=str(properties.uuid),
        capability=f"{properties.major}.{properties.minor}",
        cpu=cpu,
        cores=cores,
        label=label,
    )


def software(*others: str) -> dict[str, str]:
    """Versions by name, of the packages that count and of `others`; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in (*PACKAGES, *others):
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    versions["torch"] = torch.__version__
    if torch.cuda.is_available():
        versions["cuda"] = torch.version.cuda or "none"
        versions["cudnn"] = str(torch.backends.cudnn.version())
        versions["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            versions["driver"] = text_of(pynvml.nvmlSystemGetDriverVersion())
    return versions


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
