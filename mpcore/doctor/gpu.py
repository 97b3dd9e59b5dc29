"""What of a GPU's state would spoil figures, as NVML tells it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from mpcore.device.machine import memory_share
from mpcore.device.nvml import POWER_CAP, SLOWDOWNS, NvmlSampler, handle
from mpcore.device.occupancy import OWN_BYTES, processes_on
from mpcore.device.pynvml import lacks, pynvml

T = TypeVar("T")
NEAR_SLOWDOWN = 5
"""Degrees Celsius below those at which the GPU slows itself down."""
IDLE_MEMORY_SHARE = 0.02
"""Of its memory, what a driver keeps while nobody is there."""
IDLE_UTILISATION = 5
"""Per cent."""
STEADY = 0.05
"""Share that a clock may move by under load, or stay below its highest without a reason."""
RISE_SECONDS = 0.3
"""Of load before the first reading: a GPU that was idle takes a while to reach its clock."""
LOADS, PRODUCTS, SIDE = 8, 10, 4096
"""Readings under load, products before each, and the side of their matrices."""


@dataclass(frozen=True)
class Look:
    """what: is looked for, to end the sentence "NVML does not tell ...". find: of NVML's handle, the sentence that says what is
    wrong, or None. Raises NVMLError where it is not told. rare: whether many GPUs do not tell it, which is no fault. A name
    that nvidia-ml-py lacks is one in any case."""

    what: str
    find: Callable[[Any], str | None]
    rare: bool = False


def gpu_spoilers(device: torch.device, *, load: bool) -> Iterator[str]:
    """A sentence for each. What NVML does not tell is one, too: it cannot be excluded. load: whether the GPU may be given
    something to do, to see its clock under load."""
    try:
        occupied = torch.zeros(1, device=device)  # so that this process is one of those on the GPU
    except RuntimeError as error:
        yield _unusable(error)
        return
    yield from _lowered_memory(device)
    sampler = NvmlSampler(device)
    if not sampler.found:
        yield f"{sampler.reason}: clocks, power, temperature and other processes are not known"
        return
    sampler.sample()
    if sampler.reason is None:
        yield from (f"NVML does not tell the GPU's {field}: {why}" for field, why in sampler.untold.items())
    else:  # as of a part of a GPU
        yield f"NVML does not tell the GPU's clock, power, temperature and energy: {sampler.untold['clock']}"
    gpu = handle(str(torch.cuda.get_device_properties(device).uuid))
    for look in LOOKS:
        try:
            found = look.find(gpu)
        except pynvml.NVMLError as error:
            known = str(error) in sampler.untold.values() if lacks(error) else look.rare
            found = None if known else f"NVML does not tell {look.what}: {error}"
        if found:
            yield found
    if load and sampler.reason is None:
        try:
            yield from _clocks_under_load(device, sampler, gpu)
        except RuntimeError as error:
            yield _unusable(error)
    del occupied


def _unusable(error: RuntimeError) -> str:
    """Other processes may hold all of its memory, or the GPU itself where it admits one."""
    first = str(error).partition("\n")[0].split(" See documentation")[0].rstrip(". ")
    return f"torch cannot compute on the GPU now: {first}"


def _computing(gpu: Any) -> str | None:
    """In a container this process has another number, and nobody can say which of those that are listed it is."""
    found = [process for process in processes_on(gpu).values() if not process.draws]
    others = [process for process in found if process.number != os.getpid()]
    if len(others) < len(found):
        return f"other processes are on the GPU: {', '.join(map(str, others))}" if others else None
    if len(found) < 2:
        return None
    count = len(found) - 1
    return f"other processes are on the GPU ({count}): NVML does not say which, as in a container"


def _drawing(gpu: Any) -> str | None:
    pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)  # raises what `processes_on` goes on without
    found = [process for process in processes_on(gpu).values() if process.draws and process.number != os.getpid()]
    return f"processes draw with the GPU, as those of a desktop do: {', '.join(map(str, found))}" if found else None


def _display(gpu: Any) -> str | None:
    return "a display is active on the GPU" if pynvml.nvmlDeviceGetDisplayActive(gpu) else None


def _memory(gpu: Any) -> str | None:
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    taken = memory.used - OWN_BYTES
    share = IDLE_MEMORY_SHARE * memory.total
    return f"{taken / 2**30:.1f} GiB of the GPU's memory are taken before anything is measured" if taken > share else None


def _utilisation(gpu: Any) -> str | None:
    busy = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    return f"the GPU is {busy} % busy, though nothing is measured" if busy > IDLE_UTILISATION else None


def _mig(gpu: Any) -> str | None:
    part = pynvml.nvmlDeviceIsMigDeviceHandle(gpu)
    on = part or pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    return "MIG is on: what other parts of the GPU do may slow this one down" if on else None


def _persistence(gpu: Any) -> str | None:
    off = pynvml.nvmlDeviceGetPersistenceMode(gpu) == pynvml.NVML_FEATURE_DISABLED
    return "persistence mode is off: the GPU starts anew for each process (nvidia-smi -pm 1)" if off else None


def _compute_mode(gpu: Any) -> str | None:
    if pynvml.nvmlDeviceGetComputeMode(gpu) == pynvml.NVML_COMPUTEMODE_DEFAULT:
        return None
    return "the compute mode admits one process: what is measured again in a fresh one cannot be (nvidia-smi -c 0)"


def _power(gpu: Any) -> str | None:
    asked = (pynvml.nvmlDeviceGetEnforcedPowerLimit, pynvml.nvmlDeviceGetPowerManagementDefaultLimit)
    now, usual = (ask(gpu) / 1000 for ask in asked)
    if round(now) == round(usual):
        return None
    return (
        f"the power limit is {now:.0f} W and not the usual {usual:.0f} W: its runs are compared with their like only, "
        "unless it is a laptop"
    )


def _locked_clock(gpu: Any) -> str | None:
    now = pynvml.nvmlDeviceGetApplicationsClock(gpu, pynvml.NVML_CLOCK_SM)
    usual = pynvml.nvmlDeviceGetDefaultApplicationsClock(gpu, pynvml.NVML_CLOCK_SM)
    if now == usual:
        return None
    return (
        f"the applications clock is {now} MHz and not the usual {usual} MHz: its runs are compared with their like only "
        "(nvidia-smi -rac)"
    )


def _slowdown(gpu: Any) -> str | None:
    reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    found = [name for bit, name in SLOWDOWNS.items() if reasons & bit]
    return f"the GPU is held back: {', '.join(found)}" if found else None


def _temperature(gpu: Any) -> str | None:
    now = pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)
    limit = pynvml.nvmlDeviceGetTemperatureThreshold(gpu, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
    return f"the GPU has {now} degrees, and slows down at {limit}" if now > limit - NEAR_SLOWDOWN else None


LOOKS = (
    Look("which processes compute on the GPU", _computing, rare=True),  # the sampler has asked already, and said so
    Look("which processes draw with the GPU", _drawing, rare=True),
    Look("whether a display hangs on the GPU", _display, rare=True),
    Look("how much of its memory is taken", _memory),
    Look("how busy the GPU is", _utilisation, rare=True),  # a part of one under MIG does not
    Look("whether it is divided by MIG", _mig, rare=True),
    Look("whether its driver stays loaded", _persistence),
    Look("its compute mode", _compute_mode),
    Look("its power limit", _power),
    Look("its applications clock", _locked_clock, rare=True),
    Look("what holds its clock back", _slowdown, rare=True),  # as the first
    Look("at how many degrees it slows down", _temperature),
)


def _lowered_memory(device: torch.device) -> Iterator[str]:
    share = memory_share(device)
    if share < 1:
        yield f"this process may use {100 * share:.0f} % of the GPU's memory only (set_per_process_memory_fraction)"


def _clocks_under_load(device: torch.device, sampler: NvmlSampler, gpu: Any) -> Iterator[str]:
    """Of its multiprocessors, and of its memory, for which NVML names no limits."""
    clocks, limits = _loaded(device, sampler)
    if clocks and limits is not None:
        yield from _clock("clock", clocks, limits, lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM), "-lgc")
    try:
        memory = _loaded_memory(device, gpu)
    except pynvml.NVMLError as error:
        yield f"NVML does not tell the GPU's memory clock: {error}"
        return
    yield from _clock("memory clock", memory, (), lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM), "-lmc")


def _clock(name: str, clocks: Sequence[int], limits: Sequence[str], ask: Callable[[], int], lock: str) -> Iterator[str]:
    """One that moves, and one that stays low though NVML names no reason. ask: for the highest. lock: the option of nvidia-smi
    that keeps it low."""
    low, high = min(clocks), max(clocks)
    if low < (1 - STEADY) * high:
        yield f"the GPU's {name} moves under load, from {low} to {high} MHz" + (f" ({', '.join(limits)})" if limits else "")
        return
    try:
        highest = ask()
    except pynvml.NVMLError as error:
        yield f"NVML does not tell the GPU's highest {name}: {error}"
        return
    if high >= (1 - STEADY) * highest or POWER_CAP in limits:
        return
    stays = f"the GPU's {name} stays at {high} of {highest} MHz"
    if limits:
        yield f"{stays}, held back by {', '.join(limits)}"
    else:
        yield f"{stays}, and NVML does not say why. nvidia-smi {lock} may have locked it; --mp-label keeps its runs apart"


def _loaded(device: torch.device, sampler: NvmlSampler) -> tuple[tuple[int, ...], tuple[str, ...] | None]:
    """Clocks in MHz while it multiplies, and what holds them back."""
    sampler.clear()
    _under_load(device, sampler.sample)
    state = sampler.summary()
    return (state.sm_mhz, state.limits) if state else ((), None)


def _loaded_memory(device: torch.device, gpu: Any) -> list[int]:
    """Those of its memory. Raises NVMLError."""
    return _under_load(device, lambda: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM))


def _under_load(device: torch.device, ask: Callable[[], T]) -> list[T]:
    """The answers while it multiplies."""
    a = torch.randn(SIDE, SIDE, device=device, dtype=torch.float16)
    end = time.perf_counter() + RISE_SECONDS
    while time.perf_counter() < end:
        _multiply(a)
        torch.cuda.synchronize(device)
    answers = []
    for _ in range(LOADS):
        _multiply(a)
        answers.append(ask())
    torch.cuda.synchronize(device)
    return answers


def _multiply(a: torch.Tensor) -> None:
    """Launches some products, which are not waited for."""
    for _ in range(PRODUCTS):
        torch.mm(a, a)
