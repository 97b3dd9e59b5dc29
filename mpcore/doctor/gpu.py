"""What of a GPU's state would spoil figures, as NVML tells it."""

from collections.abc import Callable, Iterator
from typing import Any

import pynvml
import torch

from mpcore.device.nvml import SLOWDOWNS, NvmlSampler, handle

NEAR_SLOWDOWN = 5
"""Degrees Celsius below those at which the GPU slows itself down."""
IDLE_MEMORY_SHARE = 0.02
"""Of its memory, what a driver keeps while nobody is there."""
IDLE_UTILISATION = 5
"""Per cent."""
MIB = 2**20


def gpu_spoilers(device: torch.device) -> Iterator[str]:
    """A sentence for each. What NVML does not tell is one, too: it cannot be excluded."""
    occupied = torch.zeros(1, device=device)  # so that this process is one of those on the GPU
    sampler = NvmlSampler(device)
    if sampler.reason is not None:
        yield f"{sampler.reason}: clocks, power, temperature and other processes are not known"
        return
    sampler.sample(), sampler.summary()
    yield from (f"NVML does not tell the GPU's {field}: {why}" for field, why in sampler.untold.items())
    gpu = handle(str(torch.cuda.get_device_properties(device).uuid))
    for look in LOOKS:
        try:
            found = look(gpu)
        except pynvml.NVMLError as error:
            found = f"NVML does not tell {(look.__doc__ or '').rstrip('.')}: {error}" if look not in OPTIONAL else None
        if found:
            yield found
    del occupied


def _processes(gpu: Any) -> str | None:
    """which processes compute on the GPU."""
    others = max(0, len(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)) - 1)
    return f"other processes are on the GPU ({others}): figures are those of all" if others else None


def _graphics(gpu: Any) -> str | None:
    """which processes draw with the GPU."""
    others = len(pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu))
    return f"processes draw with the GPU ({others}), as those of a desktop do" if others else None


def _display(gpu: Any) -> str | None:
    """whether a display hangs on the GPU."""
    return "a display is active on the GPU" if pynvml.nvmlDeviceGetDisplayActive(gpu) else None


def _memory(gpu: Any) -> str | None:
    """how much of its memory is taken."""
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    taken = memory.used - 1024 * MIB  # this process has a context of its own
    share = IDLE_MEMORY_SHARE * memory.total
    return f"{taken / 2**30:.1f} GiB of the GPU's memory are taken before anything is measured" if taken > share else None


def _utilisation(gpu: Any) -> str | None:
    """how busy the GPU is."""
    busy = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    return f"the GPU is {busy} % busy, though nothing is measured" if busy > IDLE_UTILISATION else None


def _mig(gpu: Any) -> str | None:
    """whether it is divided by MIG."""
    on = pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    return "MIG is on: what other parts of the GPU do may slow this one down" if on else None


def _persistence(gpu: Any) -> str | None:
    """whether its driver stays loaded."""
    off = pynvml.nvmlDeviceGetPersistenceMode(gpu) == pynvml.NVML_FEATURE_DISABLED
    return "persistence mode is off: the GPU starts anew for each process (nvidia-smi -pm 1)" if off else None


def _compute_mode(gpu: Any) -> str | None:
    """its compute mode."""
    mode = pynvml.nvmlDeviceGetComputeMode(gpu)
    if mode == pynvml.NVML_COMPUTEMODE_DEFAULT:
        return None
    return "the compute mode admits one process: what is measured again in a fresh one cannot be (nvidia-smi -c 0)"


def _power(gpu: Any) -> str | None:
    """its power limit."""
    now, usual = (
        ask(gpu) / 1000 for ask in (pynvml.nvmlDeviceGetEnforcedPowerLimit, pynvml.nvmlDeviceGetPowerManagementDefaultLimit)
    )
    if round(now) == round(usual):
        return None
    return f"the power limit is {now:.0f} W and not the usual {usual:.0f} W: its runs are compared with their like only"


def _clocks(gpu: Any) -> str | None:
    """its applications clock."""
    now = pynvml.nvmlDeviceGetApplicationsClock(gpu, pynvml.NVML_CLOCK_SM)
    usual = pynvml.nvmlDeviceGetDefaultApplicationsClock(gpu, pynvml.NVML_CLOCK_SM)
    return f"the applications clock is {now} MHz and not the usual {usual} MHz (nvidia-smi -rac)" if now != usual else None


def _slowdown(gpu: Any) -> str | None:
    """what holds its clock back."""
    reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    found = [name for bit, name in SLOWDOWNS.items() if reasons & bit]
    return f"the GPU is held back: {', '.join(found)}" if found else None


def _temperature(gpu: Any) -> str | None:
    """at how many degrees it slows down."""
    now = pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)
    limit = pynvml.nvmlDeviceGetTemperatureThreshold(gpu, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
    return f"the GPU has {now} degrees, and slows down at {limit}" if now > limit - NEAR_SLOWDOWN else None


LOOKS: tuple[Callable[[Any], str | None], ...] = (
    _processes, _graphics, _display, _memory, _utilisation, _mig, _persistence, _compute_mode, _power, _clocks, _slowdown,
    _temperature,
)  # fmt: skip
OPTIONAL = (_graphics, _display, _mig, _clocks, _utilisation, _processes, _slowdown)
"""What no data-centre GPU, or no other, has to tell; and what the sampler has asked already."""
