"""What a session will take, from what accepted runs took: seconds and memory, test by test."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from mpcore.precision import Precision, precisions
from mpcore.records import Case, Cost, Hardware, Result, Run, Speed
from mpcore.store import all_accepted
from mpcore.workloads import Workload, workloads

ROOM = 1.1
"""Times what an eager step allocates: about as much it needs as a graph, too."""
COMPARED = ("bf16-true", "fp16-true")
"""Modes in whose format two GPUs are compared: the first that this one has. Before 8.0 it has no BF16."""


@dataclass(frozen=True)
class Estimates:
    """By the name of a record, what it cost when it was last measured. newest: of the runs that tell. speed: how many times as
    fast as their GPU this one is."""

    newest: Run
    speed: float
    costs: dict[str, Cost]

    def seconds(self, kind: str, case: Case) -> float | None:
        """None of what no run has measured. In a batch that was made smaller to fit, at most those of the usual one."""
        cost = self.costs.get(f"{kind}:{case.id}", self.costs.get(f"{kind}:{_full(case).id}"))
        return None if cost is None else cost.seconds / self.speed

    def peak_bytes(self, kind: str, case: Case) -> int | None:
        """In a batch that was made smaller to fit, a share of those of the usual one: as much less as a step holds. Errors are
        measured on other rows than those of the batch, and may take as much."""
        own, usual = self.costs.get(f"{kind}:{case.id}"), self.costs.get(f"{kind}:{_full(case).id}")
        if own is not None:
            return own.peak_bytes
        if usual is None or usual.peak_bytes is None:
            return None
        return usual.peak_bytes if kind == "numerics" else round(_in_batch_of(case, usual.peak_bytes))

    def usual_seconds(self, kind: str) -> float:
        """The median of those tests of a kind that are known, or of all."""
        return self._usual.get(kind, statistics.median(cost.seconds for cost in self.costs.values())) / self.speed

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
    """Of this machine, from the accepted runs in `folder`. A GPU that has none is compared with others by one product that is
    measured. device: None in a process that must leave the GPUs to others. Raises RunError."""
    runs = [run for found in all_accepted(folder).values() for run in found if run.machine.hardware.device == hardware.device]
    own = any(run.machine.hardware.key == hardware.key and _telling(run) for run in runs)
    if own or device is None:
        return estimates(runs, hardware.key, None)
    mode = next((name for name in COMPARED if precisions[name].unsupported(device) is None), None)
    ceiling = None if mode is None else _ceiling(precisions[mode](), device)
    return estimates(runs, hardware.key, ceiling, mode or "")


def why_not_within(minutes: float, folder: Path) -> str:
    """Why no tests can be chosen where there are no estimates."""
    return (
        f"--mp-minutes {minutes:g}: no accepted run tells what tests take here: expected one that stores it in {folder}, of "
        "this hardware or of another GPU"
    )


def estimates(runs: Sequence[Run], key: str, ceiling: float | None, mode: str = COMPARED[0]) -> Estimates | None:
    """From those of `runs` that say what their results cost: of the hardware `key`, else of the GPU of the newest, scaled. None
    where none does, or it cannot be scaled. ceiling: FLOP/s of a large product in the format of `mode` on this GPU."""
    telling = [run for run in runs if _telling(run)]
    own = [run for run in telling if run.machine.hardware.key == key]
    if own:
        newest, speed = max(own, key=lambda run: run.datetime), 1.0
    else:
        scaled = [(run, found) for run in telling if ceiling and (found := ceiling_of(run, mode)) is not None]
        if not scaled or not ceiling:
            return None
        newest, theirs = max(scaled, key=lambda pair: pair[0].datetime)
        speed = ceiling / theirs
    alike = [run for run in telling if run.machine.hardware.key == newest.machine.hardware.key]
    results = [result for run in sorted(alike, key=lambda run: run.datetime) for result in run.results]
    return Estimates(newest, speed, {result.record.name: result.cost for result in _of_steps(results) if result.cost})


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


def ceiling_of(run: Run, mode: str = COMPARED[0]) -> float | None:
    """FLOP/s of a large product in the format of `mode`, as the run measured it."""
    found = list(_ceilings(run.results, mode.partition("-")[0]))
    return statistics.median(found) if found else None


def _ceiling(mode: Precision, device: torch.device) -> float | None:
    """None where the GPU has no room for the product."""
    from mpcore.measure.ceiling import matmul_flops  # loads all that measures, which takes seconds

    try:
        return matmul_flops(mode, device)
    except RuntimeError:  # which is said to spoil figures
        return None


def _telling(run: Run) -> bool:
    return any(result.cost for result in run.results)


def _ceilings(results: Sequence[Result], format_: str) -> Iterator[float]:
    for speed in (result.record for result in results if isinstance(result.record, Speed)):
        if speed.case.precision.startswith(format_) and speed.ceiling_flops is not None:
            yield speed.ceiling_flops
