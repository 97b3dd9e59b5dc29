"""Whose a GPU's memory is: this process's, or others'."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mpcore.device.machine import memory_share
from mpcore.device.nvml import handle
from mpcore.device.pynvml import pynvml, text_of

OWN_BYTES = 2 * 2**30
"""What libraries hold for a process beside torch's allocator, at most. What others hold is taken for that up to here, where
NVML does not say whose it is."""
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
ASKED = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")


@dataclass(frozen=True)
class GpuProcess:
    """number: as NVML knows it, which in a container is another one. held: bytes, None where it does not say."""

    number: int
    name: str
    held: int | None
    draws: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"


@dataclass(frozen=True)
class Occupancy:
    """Of a GPU's memory, in bytes. limit: what this process may hold; torch holds `own` of it. free: of the whole GPU. others:
    what is not this process's. processes: whose that is, where NVML says so."""

    limit: int
    own: int
    free: int
    others: int
    processes: tuple[GpuProcess, ...]

    def fits_alone(self, asked: int) -> bool:
        """Whether so much more could be had if nobody else held any."""
        return self.others > 0 and self.own + asked <= self.limit and asked <= self.free + self.others


def occupancy(device: torch.device) -> Occupancy | None:
    """None on a CPU."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    beside = max(0, total - free - own - OWN_BYTES)
    others, known = _others(device)
    if known:  # a process of which NVML does not tell how much it holds may hold all that is left
        beside = sum(beside if process.held is None else process.held for process in others)
    return Occupancy(limit=int(total * memory_share(device)), own=own, free=free, others=beside, processes=others)


def asked_bytes(sentence: str) -> int | None:
    """How much more torch's allocator was asked for, in the words of its error."""
    found = ASKED.search(sentence)
    return None if found is None else round(float(found[1]) * UNITS[found[2]])


def processes_on(gpu: Any) -> dict[int, GpuProcess]:
    """Each once, by its number, though it may compute and draw. Raises NVMLError where NVML does not tell those that compute;
    those that draw are missing where it does not tell them."""
    found = {process.number: process for process in _named(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu), draws=False)}
    with suppress(pynvml.NVMLError):
        for process in _named(pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu), draws=True):
            found[process.number] = process
    return found


def _others(device: torch.device) -> tuple[tuple[GpuProcess, ...], bool]:
    """Processes beside this one, and whether this one is among what NVML lists: in a container its number may be another."""
    try:
        found = processes_on(handle(str(torch.cuda.get_device_properties(device).uuid)))
    except pynvml.NVMLError:
        return (), False
    known = found.pop(os.getpid(), None) is not None
    return (tuple(found.values()) if known else ()), known


def _named(listed: Iterable[Any], *, draws: bool) -> Iterator[GpuProcess]:
    for process in listed:
        name = "a process"
        with suppress(pynvml.NVMLError):
            name = Path(text_of(pynvml.nvmlSystemGetProcessName(process.pid))).name or name
        yield GpuProcess(process.pid, name, getattr(process, "usedGpuMemory", None), draws)
