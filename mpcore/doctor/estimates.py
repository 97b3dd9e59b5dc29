"""What a session will take, from what accepted runs took: seconds and memory, test by test."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from mpcore.device.machine import class_of
from mpcore.doctor.ceilings import FP64, ceilings_here, ceilings_of, format_of, speeds
from mpcore.precision import precisions
from mpcore.records import Case, Cost, Hardware, Run, Speed
from mpcore.store import all_accepted
from mpcore.workloads import Workload, workloads
from mpcore.workloads.step_memory import StepMemory

ROOM = 1.1
"""Times what an eager step allocates: about as much it needs as a graph, too."""


@dataclass(frozen=True)
class Estimates:
    """By the name of a record, what it cost when it was last measured. newest: of the runs that tell. speeds: how many
    times as fast as their GPU this one is, by format; none where it is the same. allocated: bytes of a step, by case."""

    newest: Run
    speeds: Mapping[str, float]
    costs: dict[str, Cost]
    allocated: Mapping[Case, int] = field(default_factory=dict)

    def seconds(self, kind: str, case: Case) -> float | None:
        """None of what no run has measured. In a batch that was made smaller to fit, at most those of the usual one."""
        cost = self.costs.get(f"{kind}:{case.id}", self.costs.get(f"{kind}:{_full(case).id}"))
        return None if cost is None else cost.seconds / self._speed(kind, case)

    def peak_bytes(self, kind: str, case: Case, memory_bytes: int | None = None) -> int | None:
        """What a test takes of the `memory_bytes` that there are: PyTorch keeps what it once had, up to all. In a batch that
        was made smaller to fit, a share of what the usual one takes. None of what no run has measured."""
        own, usual = self.costs.get(f"{kind}:{case.id}"), self.costs.get(f"{kind}:{_full(case).id}")
        cost, fit = own or usual, None if own else _fit(case)
        if cost is None or cost.peak_bytes is None:
            return None
        peak = cost.peak_bytes
        if fit is not None and kind != "numerics":
            peak = round(peak * fit.share)
        elif fit is not None and memory_bytes is not None:
            peak = round(fit.errors(peak, self._most_of_errors(case), memory_bytes))
        return peak if memory_bytes is None else min(peak, memory_bytes)

    def needed_bytes(self, kind: str, case: Case) -> int | None:
        """With less a test ends for want of memory. None of errors, which are measured in what memory there is, and of what no
        run has measured."""
        if kind == "numerics":
            return None
        own, usual, fit = self.allocated.get(case), self.allocated.get(_full(case)), _fit(case)
        if usual is not None and fit is not None:
            usual = round(fit.step(usual))
        needed = own or usual
        return self.peak_bytes(kind, case) if kind == "accuracy" or needed is None else round(ROOM * needed)

    def _most_of_errors(self, case: Case) -> int:
        """Of all modes of a workload, which share what they are compared with."""
        modes = [self.costs.get(f"numerics:{_full(case).in_precision(mode).id}") for mode in precisions.names()]
        return max(cost.peak_bytes or 0 for cost in modes if cost is not None)

    def usual_seconds(self, kind: str, case: Case) -> float:
        """The median of those tests of a kind that are known, or of all."""
        usual = self._usual.get(kind, statistics.median(cost.seconds for cost in self.costs.values()))
        return usual / self._speed(kind, case)

    def _speed(self, kind: str, case: Case) -> float:
        """In the format that most of its time is spent in. One that was not compared counts as the slowest that was."""
        if not self.speeds:
            return 1.0
        products = min(speed for name, speed in self.speeds.items() if name != FP64)
        return self.speeds.get(FP64 if kind == "numerics" else format_of(case.precision), products)

    @cached_property
    def _usual(self) -> dict[str, float]:
        kinds = {name.split(":")[0] for name in self.costs}
        return {k: statistics.median(c.seconds for name, c in self.costs.items() if name.split(":")[0] == k) for k in kinds}


def _full(case: Case) -> Case:
    return case.model_copy(update={"size": "full", "batch_size": None}) if case.size == "fit" else case


class _Fit(NamedTuple):
    """What is known of a workload in size `fit`."""

    entry: type[Workload]
    memory: StepMemory
    batch_size: int

    @property
    def share(self) -> float:
        """Of the memory of a step in the batch of its recipe."""
        return self.memory.of(self.batch_size) / self.memory.of(self.entry.recipes["full"].batch_size)

    def step(self, usual: int) -> float:
        """What a step needs that needs `usual` in the batch of its recipe. No more than its batch was chosen by: on a large GPU
        cuDNN takes algorithms that need far more."""
        return min(usual * self.share, self.memory.of(self.batch_size) * 2**30)

    def errors(self, usual: int, most: int, memory_bytes: int) -> float:
        """Of fewer samples a step takes less, and what is compared as much. Where the mode that takes `most` finds no room, all
        keep that on the host."""
        on_host = self._of_errors(most, memory_bytes) > memory_bytes
        return self._of_errors(usual, memory_bytes) - on_host * self.memory.compared * 2**30

    def _of_errors(self, usual: int, memory_bytes: int) -> float:
        rows = self.entry.numerics_rows["full"]
        fixed = min(self.memory.in_fp64().fixed * 2**30, usual)
        return fixed + (usual - fixed) * self.entry.fitting_rows(rows, class_of(memory_bytes)) / rows


def _fit(case: Case) -> _Fit | None:
    entry = workloads[case.workload]
    if not issubclass(entry, Workload) or entry.step_memory is None or case.batch_size is None:
        return None
    return _Fit(entry, entry.step_memory, case.batch_size)


def estimates_here(folder: Path, hardware: Hardware, device: torch.device | None) -> Estimates | None:
    """Of this machine, from the accepted runs in `folder`. A GPU that has none is compared with others by one product in each
    format. device: None in a process that must leave the GPUs to others. Raises RunError."""
    runs = [run for found in all_accepted(folder).values() for run in found if run.machine.hardware.device == hardware.device]
    own = any(run.machine.hardware.key == hardware.key and _telling(run) for run in runs)
    if own or device is None:
        return estimates(runs, hardware.key, {})
    return estimates(runs, hardware.key, ceilings_here(hardware, device))


def why_not_within(minutes: float, folder: Path) -> str:
    """Why no tests can be chosen where there are no estimates."""
    return (
        f"--mp-minutes {minutes:g}: no accepted run tells what tests take here: expected one that stores it in {folder}, of "
        "this hardware or of another GPU"
    )


def estimates(runs: Sequence[Run], key: str, ceilings: Mapping[str, float]) -> Estimates | None:
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
    steps = [result.record for result in results if isinstance(result.record, Speed)]
    allocated = {step.case: step.peak_allocated_bytes for step in steps if step.peak_allocated_bytes is not None}
    return Estimates(newest, {} if own else speeds(ceilings, ceilings_of(alike)), costs, allocated)


def _telling(run: Run) -> bool:
    return any(result.cost for result in run.results)
