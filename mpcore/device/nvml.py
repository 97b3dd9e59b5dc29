"""What NVML says of a GPU: its clocks, power and temperature while it works, and its limits."""

import os
import time
from contextlib import suppress

import pynvml
import torch

from mpcore.records import GpuState

SLOWDOWNS = {0x08: "hardware slowdown", 0x20: "software thermal slowdown", 0x40: "thermal slowdown", 0x80: "power brake"}
"""NVML's clocks event reasons (nvml.h) for which a block is not the GPU's ordinary speed."""
LIMITS = {0x04: "power cap", 0x02: "applications clocks", 0x10: "sync boost", 0x100: "display clocks"} | SLOWDOWNS
"""A GPU at its power cap is at its ordinary speed, with this power limit; that it was is recorded."""


class NvmlSampler:
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

    def sample(self) -> bool:
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

    def summary(self) -> GpuState | None:
        """Of all readings since `clear`; None where there are none, or NVML stopped answering."""
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


def power_limits_and_mig(uuid: str) -> tuple[float | None, float | None, str | None]:
    """Of a GPU: its power limit in watts, the usual one, and "on" or "off" for MIG; None each where NVML does not tell."""
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
