"""What a session will take, from what accepted runs took: seconds and memory, test by test."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from mpcore.doctor.ceilings import FP64, ceilings_here, ceilings_of, format_of, speeds
from mpcore.records import Case, Cost, Hardware, Result, Run, Speed
from mpcore.store import all_accepted
from mpcore.workloads import Workload, workloads

ROOM = 1.1
"""Times what an eager step allocates: about as much it needs as a graph, too."""


@dataclass(frozen=True)
class Estimates:
    """By the name of a record, what it cost when it was last measured. newest: of the runs that tell. speeds: how many
    times as fast as their GPU this one is, by format; none where it is the same."""

    newest: Run
    speeds: Mapping[str, float]
    costs: dict[str, Cost]

    def seconds(self, kind: str, case: Case) -> float | None:
        """None of what no run has measured. In a batch that was made smaller to fit, at most those of the usual one."""
        cost = self.costs.get(f"{kind}:{case.id}", self.costs.get(f"{kind}:{_full(case).id}"))
        return None if cost is None else cost.seconds / self._speed(kind, case)

    def peak_bytes(self, kind: str, case: Case) -> int | None:
        """In a batch that was made smaller to fit, a share of those of the usual one: as much less as a step holds. Errors are
        measured on other rows than those of the batch, and may take as much."""
        own, usual = self.costs.get(f"{kind}:{case.id}"), self.costs.get(f"{kind}:{_full(case).id}")
        if own is not None:
            return own.peak_bytes
        if usual is None or usual.peak_bytes is None:
            return None
        return usual.peak_bytes if kind == "numerics" else round(_in_batch_of(case, usual.peak_bytes))

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


def _in_batch_of(case: Case, usual: int) -> float:
    """What a step of size `fit` needs that needs `usual` in the batch of its recipe. No more than its batch was chosen by: on a
    large GPU cuDNN takes algorithms that need far more."""
    entry = workloads[case.workload]
    if not issubclass(entry, Workload) or entry.step_memory is None or case.batch_size is None:
        return usual
    here, full = (entry.step_memory.of(size) for size in (case.batch_size, entry.recipes["full"].batch_size))
    return min(usual * here / full, ROOM * here * 2**30)


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
    costs = {result.record.name: result.cost for result in _of_steps([r for run in alike for r in run.results]) if result.cost}
    return Estimates(newest, {} if own else speeds(ceilings, ceilings_of(alike)), costs)


def _of_steps(results: Sequence[Result]) -> Iterator[Result]:
    """The same, but that what a step allocates says what its speed and its work need: what was reserved holds what cuDNN tried
    with the memory that was free, and in older runs what was measured before."""
    allocated = {r.record.case: r.record.peak_allocated_bytes for r in results if isinstance(r.record, Speed)}
    for result in results:
        needed = allocated.get(result.record.case) if result.record.kind in ("speed", "work") else None
        if result.cost is None or result.cost.peak_bytes is None or needed is None:
            yield result
            continue
        peak = min(result.cost.peak_bytes, round(ROOM * needed))
        yield result.model_copy(update={"cost": result.cost.model_copy(update={"peak_bytes": peak})})


def _telling(run: Run) -> bool:
    return any(result.cost for result in run.results)
