"""What a session will take, from what accepted runs took: seconds and memory, test by test."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from mpcore.device.machine import class_of, has_fast_fp64, usable_memory
from mpcore.doctor.ceilings import COPIES, FP64, ceilings_here, ceilings_of, format_of, speeds
from mpcore.kernels.bound import ARITHMETIC
from mpcore.records import Case, Cost, Hardware, Numerics, Result, Run, Speed
from mpcore.store import all_accepted
from mpcore.workloads import Workload, workloads
from mpcore.workloads.step_memory import StepMemory

GIB = 2**30
ROOM = 1.1
"""Times what an eager step allocates: about as much it needs as a graph, too."""


@dataclass(frozen=True)
class Card:
    """What of a GPU decides what fits it. memory_bytes: that a process may use."""

    memory_bytes: int
    fast_in_fp64: bool = True

    @property
    def memory_class(self) -> int:
        return class_of(self.memory_bytes)


def card_of(hardware: Hardware, device: torch.device | None = None) -> Card | None:
    """None for a CPU. device: where this process runs; of a GPU it may use a part of the memory alone."""
    memory = (usable_memory(device) if device else None) or hardware.memory_bytes
    return None if memory is None else Card(memory, hardware.capability is None or has_fast_fp64(hardware.capability))


@dataclass(frozen=True)
class Estimates:
    """By the name of a record, what it cost when it was last measured. newest: of the runs that tell. speeds: how many
    times as fast as their GPU this one is, by format; none where it is the same. sizes: by the name, too, bytes that a step
    allocates, and samples that errors were measured on. products: the share of its kernels' time that a step spends in
    arithmetic. card: of this GPU, where it is another one."""

    newest: Run
    speeds: Mapping[str, float]
    costs: dict[str, Cost]
    sizes: Mapping[str, int] = field(default_factory=dict)
    products: Mapping[str, float] = field(default_factory=dict)
    card: Card | None = None

    def seconds(self, kind: str, case: Case) -> float | None:
        """None of what no run has measured. In a batch that was made smaller to fit, at most those of the usual one."""
        cost = self.costs.get(f"{kind}:{self._told(kind, case).id}")
        return None if cost is None else cost.seconds / self._speed(kind, case)

    def peak_bytes(self, kind: str, case: Case, card: Card | None = None) -> int | None:
        """What a test takes of the memory of `card`: PyTorch keeps what it once had, up to all. In a batch that was made
        smaller to fit, a share of what the usual one takes. None of what no run has measured."""
        told = self._told(kind, case)
        cost = self.costs.get(f"{kind}:{told.id}")
        if cost is None or cost.peak_bytes is None:
            return None
        peak = (
            self._of_errors(case, told, cost.peak_bytes, card) if kind == "numerics" else cost.peak_bytes * _share(case, told)
        )
        return round(peak if card is None else min(peak, card.memory_bytes))

    def needed_bytes(self, kind: str, case: Case) -> int | None:
        """About what a test needs. On a large GPU cuDNN takes algorithms that need far more than the step is said to hold. None
        of errors, which are measured in what memory there is, and of what no run has measured."""
        if kind == "numerics":
            return None
        told = self._told("speed", case)
        allocated = None if kind == "accuracy" else self.sizes.get(f"speed:{told.id}")
        needed = self.peak_bytes(kind, case) if allocated is None else ROOM * allocated * _share(case, told)
        memory = _memory(case)
        return None if needed is None else round(needed if memory is None else min(needed, memory.of(_batch(case)) * GIB))

    def _told(self, kind: str, case: Case) -> Case:
        """The case, or where it was made to fit and is not known, the usual one."""
        own = case.size != "fit" or f"{kind}:{case.id}" in self.costs
        return case if own else case.model_copy(update={"size": "full", "batch_size": None})

    def _of_errors(self, case: Case, told: Case, peak: int, here: Card | None) -> float:
        """Of fewer samples a step takes less, and what is compared as much, unless that is kept on the host."""
        memory, there = _memory(case), card_of(self.newest.machine.hardware)
        rows = self.sizes.get(f"numerics:{told.id}")
        if memory is None or here is None or there is None or rows is None:
            return peak
        entry = _workload(case)
        fixed = min((memory.in_fp64().fixed + memory.compared) * GIB, peak)
        peak_here = fixed + (peak - fixed) * entry.compared_rows(case.size, here.memory_class, here.fast_in_fp64) / rows
        moved = entry.compared_on_host(case.size, here.memory_class) - entry.compared_on_host(told.size, there.memory_class)
        return peak_here - moved * memory.compared * GIB

    def usual_seconds(self, kind: str, case: Case) -> float:
        """The median of those tests of a kind that are known, or of all."""
        usual = self._usual.get(kind, statistics.median(cost.seconds for cost in self.costs.values()))
        return usual / self._speed(kind, case)

    def _speed(self, kind: str, case: Case) -> float:
        """Of products in the format that most of its time is spent in, and of copies for the rest. A format that was not
        compared counts as the slowest that was, and copies as products."""
        if not self.speeds:
            return 1.0
        formats = [speed for name, speed in self.speeds.items() if name not in (FP64, COPIES)]
        slowest = min(formats, default=self.speeds.get(COPIES, 1.0))
        if kind == "numerics":
            return self.speeds.get(FP64, slowest) * self._fewer_rows(case)
        products = self.speeds.get(format_of(case.precision), slowest)
        share = self.products.get(f"speed:{self._told('speed', case).id}", 1.0)
        return 1 / (share / products + (1 - share) / self.speeds.get(COPIES, products))

    def _fewer_rows(self, case: Case) -> float:
        """How many times as many samples the other GPU has measured errors on."""
        rows = self.sizes.get(f"numerics:{self._told('numerics', case).id}")
        if rows is None or self.card is None:
            return 1.0
        return rows / _workload(case).compared_rows(case.size, self.card.memory_class, self.card.fast_in_fp64)

    @cached_property
    def _usual(self) -> dict[str, float]:
        kinds = {name.split(":")[0] for name in self.costs}
        return {k: statistics.median(c.seconds for name, c in self.costs.items() if name.split(":")[0] == k) for k in kinds}


def _workload(case: Case) -> type[Workload]:
    entry = workloads[case.workload]
    assert issubclass(entry, Workload)  # an own step has none that is known to fit
    return entry


def _memory(case: Case) -> StepMemory | None:
    """What is known of its step; of a tiny one nothing is."""
    entry = workloads[case.workload]
    return entry.step_memory if issubclass(entry, Workload) and case.size != "tiny" else None


def _batch(case: Case) -> int:
    return case.batch_size or _workload(case).recipes["full"].batch_size


def _share(case: Case, told: Case) -> float:
    """Of the memory that a step of another batch takes."""
    memory = _memory(case)
    return 1.0 if memory is None else memory.of(_batch(case)) / memory.of(_batch(told))


def estimates_here(folder: Path, hardware: Hardware, device: torch.device | None) -> Estimates | None:
    """Of this machine, from the accepted runs in `folder`. A GPU that has none is compared with others by one product in each
    format. device: None in a process that must leave the GPUs to others. Raises RunError."""
    runs = [run for found in all_accepted(folder).values() for run in found if run.machine.hardware.device == hardware.device]
    own = any(run.machine.hardware.key == hardware.key and _telling(run) for run in runs)
    if own or device is None:
        return estimates(runs, hardware.key, {})
    return estimates(runs, hardware.key, ceilings_here(hardware, device), card_of(hardware, device))


def why_not_within(minutes: float, folder: Path) -> str:
    """Why no tests can be chosen where there are no estimates."""
    return (
        f"--mp-minutes {minutes:g}: no accepted run tells what tests take here: expected one that stores it in {folder}, of "
        "this hardware or of another GPU"
    )


def estimates(runs: Sequence[Run], key: str, ceilings: Mapping[str, float], card: Card | None = None) -> Estimates | None:
    """From those of `runs` that say what their results cost: of the hardware `key`, else of the GPU of the newest, scaled. None
    where none does, or it cannot be scaled. ceilings: FLOP/s of large products on this GPU, by format."""
    telling = [run for run in runs if _telling(run)]
    own = [run for run in telling if run.machine.hardware.key == key]
    found = own or [run for run in telling if speeds(ceilings, ceilings_of([run]))]
    if not found:
        return None
    newest = max(found, key=lambda run: run.datetime)
    alike = sorted(
        (run for run in telling if run.machine.hardware.key == newest.machine.hardware.key), key=lambda run: run.datetime
    )
    results = [result for run in alike for result in run.results]
    costs = {result.record.name: result.cost for result in results if result.cost}
    if own:
        return Estimates(newest, {}, costs, dict(_sizes(results)))
    scaled = speeds(ceilings, ceilings_of(alike))
    return Estimates(newest, scaled, costs, dict(_sizes(results)), dict(_products(results)), card)


def _sizes(results: Sequence[Result]) -> Iterator[tuple[str, int]]:
    for record in (result.record for result in results):
        if isinstance(record, Numerics):
            yield record.name, record.batch_size
        elif isinstance(record, Speed) and record.peak_allocated_bytes is not None:
            yield record.name, record.peak_allocated_bytes


def _products(results: Sequence[Result]) -> Iterator[tuple[str, float]]:
    for record in (result.record for result in results):
        if isinstance(record, Speed) and record.profile and record.profile.seconds:
            arithmetic = sum(family.seconds for family in record.profile.families if family.name in ARITHMETIC)
            yield record.name, arithmetic / record.profile.seconds


def _telling(run: Run) -> bool:
    return any(result.cost for result in run.results)
