"""What the machine is and how it does: the device, its memory and power limit, the versions of the software on it, and the
clocks, power and temperature of the GPU while it works."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import pynvml
import torch

from mpcore.records import GpuState, Hardware

ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
WHOLE_MIB = 4096
"""A block of memory this large serves what is as large, and nothing small."""
UNBOUNDED_MIB = 2**20
"""No block is so large."""

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "numpy", "pytest", "pytest-benchmark", "mpcore")

SLOWDOWNS = {0x08: "hardware slowdown", 0x20: "software thermal slowdown", 0x40: "thermal slowdown", 0x80: "power brake"}
"""NVML's clocks event reasons (nvml.h) for which a block is not the GPU's ordinary speed."""
LIMITS = {0x04: "power cap", 0x02: "applications clocks", 0x10: "sync boost", 0x100: "display clocks"} | SLOWDOWNS
"""A GPU at its power cap is at its ordinary speed, with this power limit; that it was is recorded."""


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was given; a CPU has done so already."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep_large_blocks_whole() -> None:
    """What the user has told the allocator stays.

    cuDNN takes the first algorithm of its list whose workspace can be had, and some ask for a quarter of a GPU's memory. A
    small tensor that lives on in such a block keeps all of it from the capture that comes next, and whether one does hangs
    on what was measured before: a step would be captured with other algorithms in another process. Told in this way, for
    the variables are read once, as soon as a library asks for a GPU.
    """
    _split_below(WHOLE_MIB)


@contextmanager
def large_blocks_split() -> Iterator[None]:
    """While a graph is captured, whose pool holds nothing yet. Where memory ends, an allocator that keeps blocks whole frees
    some, which no capture survives (pytorch/pytorch#159594); one that splits them says that it ends, and cuDNN takes less."""
    _split_below(UNBOUNDED_MIB)
    try:
        yield
    finally:
        keep_large_blocks_whole()


def _split_below(mib: int) -> None:
    if not any(os.environ.get(name) for name in ALLOCATOR_VARIABLES):
        torch._C._accelerator_setAllocatorSettings(f"max_split_size_mb:{mib}")


def probe(device: torch.device) -> Hardware:
    cpu = _cpu_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type != "cuda":
        return Hardware(
            device="cpu", name=cpu, count=1, memory_bytes=None, power_limit_watts=None, mig=None, uuid=None,
            capability=None, cpu=cpu, cores=cores,
        )  # fmt: skip
    properties = torch.cuda.get_device_properties(device)
    watts, default_watts, mig = _nvml(str(properties.uuid))
    return Hardware(
        device="cuda",
        name=properties.name,
        count=torch.cuda.device_count(),
        memory_bytes=properties.total_memory,
        power_limit_watts=watts,
        default_watts=default_watts,
        mig=mig,
        uuid=str(properties.uuid),
        capability=f"{properties.major}.{properties.minor}",
        cpu=cpu,
        cores=cores,
    )


def software() -> dict[str, str]:
    """Versions by name; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    versions["torch"] = torch.__version__
    if torch.cuda.is_available():
        versions["cuda"] = torch.version.cuda or "none"
        versions["cudnn"] = str(torch.backends.cudnn.version())
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            versions["driver"] = pynvml.nvmlSystemGetDriverVersion()
    return versions


class GpuWatch:
    """Asks the GPU how it does while it works. `reason` says why there is no answer, where there is none."""

    def __init__(self, device: torch.device) -> None:
        self.reason: str | None = None
        if device.type != "cuda":
            self.reason = "no GPU"
            return
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            self._read(), self._other_processes()  # the first readings take milliseconds
        except pynvml.NVMLError as error:
            self.reason = f"NVML does not answer: {error}"
        self.clear()

    def clear(self) -> None:
        self._readings: list[tuple[float, int, float, int, float]] = []
        self._limits = 0

    def look(self) -> bool:
        """Takes one reading. Whether the GPU is slowed down; False where it does not say."""
        if self.reason is not None:
            return False
        try:
            reading, limits = self._read()
        except pynvml.NVMLError as error:
            self.reason = f"NVML no longer answers: {error}"
            return False
        self._readings.append(reading)
        self._limits |= limits
        return any(limits & bit for bit in SLOWDOWNS)

    def state(self) -> GpuState | None:
        """Of all readings since `clear`."""
        if self.reason is not None or not self._readings:
            return None
        try:
            others = self._other_processes()
        except pynvml.NVMLError as error:
            self.reason = f"NVML no longer answers: {error}"
            return None
        at, mhz, watts, celsius, joules = zip(*self._readings, strict=True)
        return GpuState(
            at_seconds=tuple(t - at[0] for t in at),
            sm_mhz=mhz,
            watts=watts,
            celsius=celsius,
            joules=joules,
            limits=tuple(name for bit, name in LIMITS.items() if self._limits & bit),
            other_processes=others,
        )

    def _read(self) -> tuple[tuple[float, int, float, int, float], int]:
        handle = self._handle
        joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        return (
            time.perf_counter(),
            pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
            joules,
        ), pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle)

    def _other_processes(self) -> int:
        return sum(p.pid != os.getpid() for p in pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle))


def _nvml(uuid: str) -> tuple[float | None, float | None, str | None]:
    """Power limit in watts, that which is usual, and "on" or "off" for MIG; None each where NVML does not tell."""
    watts = usual = mig = None
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        with suppress(pynvml.NVMLError):
            watts = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
        with suppress(pynvml.NVMLError):
            usual = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000
        with suppress(pynvml.NVMLError):
            mig = "on" if pynvml.nvmlDeviceGetMigMode(handle)[0] else "off"
    return watts, usual, mig


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
