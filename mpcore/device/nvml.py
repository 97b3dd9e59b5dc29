"""What NVML says of a GPU: its clocks, power and temperature while it works, and its limits."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from mpcore.device.pynvml import pynvml
from mpcore.records import GpuState

SLOWDOWNS = {0x08: "hardware slowdown", 0x20: "software thermal slowdown", 0x40: "thermal slowdown", 0x80: "power brake"}
"""NVML's clocks event reasons (nvml.h) for which a block is not the GPU's ordinary speed."""
POWER_CAP = "power cap"
LIMITS = {0x04: POWER_CAP, 0x02: "applications clocks", 0x10: "sync boost", 0x100: "display clocks"} | SLOWDOWNS
"""A GPU at its power cap is at its ordinary speed, with this power limit; that it was is recorded."""


FIELDS: dict[str, Callable[[Any], Any]] = {
    "clock": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "power": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "temperature": lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
    "energy": lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    "limits of its clock": lambda gpu: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
}
"""What is asked in every block, in MHz, watts, degrees Celsius, joules and bits. Not every GPU tells all of it."""
PROCESSES = "processes on it"


class NvmlSampler:
    """Asks the GPU how it does while it works.

    reason: why there is no answer at all, where there is none. found: whether NVML knows the GPU, and may tell other things.
    untold: by field, why the GPU does not tell that one. A field that it stops telling is one of them, for half of it says less
    than nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.reason: str | None = None
        self.untold: dict[str, str] = {}
        self.found = False
        self.clear()
        if device.type != "cuda":
            self.reason = "no GPU"
            return
        try:
            self._gpu = handle(str(torch.cuda.get_device_properties(device).uuid))
        except pynvml.NVMLError as error:
            self.reason = f"NVML does not answer: {error}"
            return
        self.found = True
        self.sample(), self._other_processes()  # the first readings take milliseconds
        self.clear()

    def clear(self) -> None:
        self._readings: list[tuple[float, dict[str, Any]]] = []

    def sample(self) -> bool:
        """Takes one reading. Whether the GPU is slowed down; False where it does not say."""
        if self.reason is not None:
            return False
        told = {field: self._ask(field, ask) for field, ask in FIELDS.items() if field not in self.untold}
        self._readings.append((time.perf_counter(), told))
        if set(self.untold) >= set(FIELDS):
            self.reason = f"NVML does not answer: {self.untold['clock']}"
        return any((told.get("limits of its clock") or 0) & bit for bit in SLOWDOWNS)

    def summary(self) -> GpuState | None:
        """Of all readings since `clear`; None where there are none."""
        if self.reason is not None or not self._readings:
            return None
        others = self._other_processes()
        start = self._readings[0][0]
        limits = self._told("limits of its clock")
        return GpuState(
            at_seconds=tuple(at - start for at, _ in self._readings),
            sm_mhz=self._told("clock"),
            watts=self._told("power"),
            celsius=self._told("temperature"),
            joules=self._told("energy"),
            limits=tuple(name for bit, name in LIMITS.items() if any(bits & bit for bits in limits)) if limits else None,
            other_processes=others,
            untold=dict(self.untold),
        )

    def _told(self, field: str) -> tuple[Any, ...]:
        """In the order of the readings, () where the GPU does not tell it, or no more."""
        return () if field in self.untold else tuple(told[field] for _, told in self._readings)

    def _ask(self, field: str, ask: Callable[[Any], Any]) -> Any:
        try:
            return ask(self._gpu)
        except pynvml.NVMLError as error:
            self.untold[field] = str(error)
            return None

    def _other_processes(self) -> int | None:
        """None where it does not tell. In a container their numbers may be others, and then one of them is this one."""
        found = self._ask(PROCESSES, lambda gpu: pynvml.nvmlDeviceGetComputeRunningProcesses(gpu))
        if found == []:
            self.untold[PROCESSES] = "it lists none, and not even this one"
        return len(found) - 1 if found else None


def handle(uuid: str) -> Any:
    """NVML's, of the GPU, or of the part of one, that torch knows by this uuid. Raises NVMLError."""
    pynvml.nvmlInit()
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except pynvml.NVMLError:
        return pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


def settings_of(uuid: str) -> dict[str, Any]:
    """Of a GPU, by the field of `Hardware`; None for each that NVML does not tell. Its power limit and the usual one are in
    watts, and MIG is "on" or "off". The clock that it is told to keep to, in MHz, is None where it is the usual one."""
    watts = usual = mig = locked = None
    with suppress(pynvml.NVMLError):
        gpu = handle(uuid)
        with suppress(pynvml.NVMLError):
            watts = pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000
        with suppress(pynvml.NVMLError):
            usual = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu) / 1000
        with suppress(pynvml.NVMLError):
            mig = "on" if pynvml.nvmlDeviceGetMigMode(gpu)[0] else "off"
        with suppress(pynvml.NVMLError):
            told = pynvml.nvmlDeviceGetApplicationsClock(gpu, pynvml.NVML_CLOCK_SM)
            locked = told if told != pynvml.nvmlDeviceGetDefaultApplicationsClock(gpu, pynvml.NVML_CLOCK_SM) else None
    return {"power_limit_watts": watts, "default_watts": usual, "mig": mig, "locked_mhz": locked}
