"""The bench: everything that is measured in one session on one device, and what is kept between cases because others are
compared with it: the trainings, the FP64 yardstick of the current workload, the encoded data."""

import functools
import gc
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mpcore import precision as _modes  # noqa: F401  (registers the modes)
from mpcore import workloads as _workloads  # noqa: F401
from mpcore.data import Batch, DataError, Source
from mpcore.execution import Eager
from mpcore.hardware import GpuWatch, keep_large_blocks_whole
from mpcore.measure.about import about
from mpcore.measure.ceiling import matmul_flops
from mpcore.measure.emulation import EMULATED, slowdown
from mpcore.measure.failure import Failed, explained
from mpcore.measure.handicap import Handicapped, wait_of
from mpcore.measure.numerics import Observation, measure_numerics, observe
from mpcore.measure.parity import step_parity, training_parity
from mpcore.measure.quality import measure_quality
from mpcore.measure.speed import BATCHES, Stand, free_memory, measure_speed
from mpcore.measure.timing import Contestant, take_turns
from mpcore.policy import NumericsLimits, numerics_limits
from mpcore.precision import Precision
from mpcore.precision.pure import FP64
from mpcore.profile import profiled
from mpcore.records import Case, Numerics, Parity, Quality, Reference, Size, Speed, Timing
from mpcore.registry import precisions, workloads
from mpcore.rivals import Rival, Trainer
from mpcore.stats import Deviation, pooled_deviation
from mpcore.train import Progress, TrainStep
from mpcore.workloads import Workload

SEEDS = 3
"""Trainings of a mode: fewer say nothing of chance."""
REFERENCES = ("fp32", "tf32")
AGAIN = 3
"""Blocks that a reference is timed for once more: enough for a drift of per cents."""
NO_MEMORY = "it finds no memory"
TARGET = 0.002
"""Half-width of the 99 % intervals of times and ratios, as a share, that timing goes on for."""


class Bench:
    """source: where data come from. checkpoints: by workload, a folder or hub id that its trainings start from.

    A checkpoint decides where a training starts and what it trains. Speed and numerics are those of the architecture that
    the workload names, with random weights, and stay comparable.
    """

    def __init__(
        self,
        device: torch.device,
        source: Source | None = None,
        checkpoints: Mapping[str, str] | None = None,
        *,
        tolerance: float | None = None,
        target: float = TARGET,
        seeds: Sequence[int] = range(SEEDS),
        progress: Callable[[str], Progress] | None = None,
    ) -> None:
        keep_large_blocks_whole()
        self.device = device
        self.source = source or Source()
        self.checkpoints = dict(checkpoints or {})
        self.progress = progress
        self._tolerance = tolerance
        self.watch = GpuWatch(device)
        self._target = target
        self._seeds = tuple(seeds)
        self._speeds: dict[Case, Speed] = {}
        self._failed: dict[Case, str] = {}
        self._ceilings: dict[tuple[torch.dtype, bool], float | None] = {}
        self._qualities: dict[Case, Quality] = {}
        self._yardstick: tuple[tuple[str, float | None], Observation] | None = None
        self._workload_in = functools.cache(self._new_workload)
        self.emulated = functools.cache(self._emulated)

    def check(self, cases: Sequence[Case]) -> None:
        """Loads data and weights of the cases' workloads, so that what is wrong with them is said before anything is trained.
        Raises DataError, WorkloadError.

        What is there then stays for good. The collector, which runs between cases, is told so: it would take a third of a
        second each time to look through all that is imported.
        """
        for case in dict.fromkeys(case.in_precision("") for case in cases):
            workload = self.workload(case, pretrained=True)
            for split in ("train", "test"):
                workload.split(split, torch.device("cpu"))
            rows, batch_size = len(workload.split("train", torch.device("cpu"))), workload.recipe.batch_size
            if rows < BATCHES * batch_size:
                raise DataError(
                    f"{case.workload} has {rows} samples to train in {self.source.where!r}: "
                    f"expected at least {BATCHES} batches of {batch_size}"
                )
            if case.workload in self.checkpoints:
                workload.checked_model()
                if not workload.reads_checkpoint:
                    raise DataError(f"{case.workload} reads no pretrained weights: expected no checkpoint for it")
        gc.collect()
        gc.freeze()

    def workload(self, case: Case, *, pretrained: bool = False) -> Workload:
        """That of `case`, in its size of batch, made once. All cases share the data in memory."""
        return self._workload_in(case.workload, case.size, pretrained and case.workload in self.checkpoints, case.batch_size)

    def speed(self, case: Case) -> Speed:
        """Once a session. Captured steps repeat so well that their references are measured once, as cases of their own;
        eager ones take turns with theirs. A reference that cannot be measured is left out."""
        if case not in self._speeds:
            names = self._references(case)
            references: dict[str, Reference | None] = dict.fromkeys(names)
            if self._captured(case):
                alone = {name: self._alone(case.in_precision(name)) for name in names}
                references = {name: reference for name, reference in alone.items() if reference is not None}
            speed = measure_speed(self.stand(case), references, self._ceiling(precisions[case.precision]()))
            missing = {n: self._failed.get(case.in_precision(n), NO_MEMORY) for n in names if n not in speed.references}
            self._speeds[case] = speed.model_copy(update={"missing": missing})
        return self._speeds[case]

    def time(self, case: Case, *, profile: bool = False, handicap: float = 1.0) -> Timing:
        """The time of a step and nothing else, as soon as it can be had: nothing is learnt, counted or compared with. handicap:
        how many times longer a step is made to take."""
        free_memory()
        step, batches = self.build(case), self.stand(case).batches
        own = Contestant(step, batches)
        if handicap > 1:
            take_turns([own], math.inf, self.watch)
            wait = wait_of((handicap - 1) * own.blocks.step_seconds, self.device)
            own = Contestant(Handicapped(step, wait), batches)
        dropped = take_turns([own], math.inf, self.watch)
        return Timing(
            **about(case, step.workload, self.device),
            blocks=own.blocks,
            pool_bytes=step.pool_bytes,
            dropped_blocks=dropped,
            profile=profiled(functools.partial(own.step, batches[0]), self.device) if profile else None,
        )

    def _alone(self, reference: Case) -> Reference | None:
        """A case that others are compared with; None, once and for all, where it fails."""
        if reference not in self._failed:
            try:
                speed = self.speed(reference)
                return Reference(blocks=speed.blocks, rounds=None, dropped_blocks=speed.dropped_blocks)
            except Failed as failed:
                self._failed[reference] = explained(failed)
        return None

    def alone(self, case: Case) -> Speed:
        """`case` without references, as it is measured once more in a fresh process where it seems to have got worse."""
        return measure_speed(self.stand(case), {}, self._ceiling(precisions[case.precision]()))

    def release(self) -> None:
        """Gives back what is kept on the device, for another process."""
        self._yardstick = None
        free_memory()

    def drift(self, case: Case) -> dict[str, float]:
        """By mode, how much longer the references of the case's workload take now than when they were measured, as a share;
        nothing where they took turns with each case."""
        firsts = [self._speeds.get(case.in_precision(r)) for r in REFERENCES] if self._captured(case) else []
        drift = {}
        for first in filter(None, firsts):
            drift[first.case.precision] = self._again(first.case) / first.blocks.step_seconds - 1
        return drift

    def _again(self, case: Case) -> float:
        """Seconds of a step."""
        free_memory()
        contestant = self.stand(case).contestant(case.precision)
        contestant.warm_up()
        return statistics.median(contestant.block(n, self.watch)[0] for n in range(AGAIN)) / contestant.steps

    def quality(self, case: Case) -> Quality:
        """The trainings of `case`, once a session."""
        if case not in self._qualities:
            workload = self.workload(case, pretrained=True)
            splits = {name: workload.split(name, self.device) for name in ("train", "test")}
            build = functools.partial(self.build, pretrained=True)
            self._qualities[case] = measure_quality(case, self._seeds, build, splits, self.progress)
        return self._qualities[case]

    def numerics(self, case: Case) -> Numerics:
        batch = self._batch(case, slice(self.workload(case).numerics_rows[case.size]))
        clipped = precisions[case.precision]().max_norm  # as the yardstick is, too
        key = case.in_precision(FP64.name).id, clipped
        if self._yardstick is None or self._yardstick[0] != key:
            free_memory()
            step = TrainStep(self.workload(case), FP64(max_norm=clipped), self.device, seed=case.seed, dropout=False)
            self._yardstick = key, observe(step, batch)
        free_memory()
        return measure_numerics(case, self.build(case, dropout=False), batch, self._yardstick[1])

    def step_parity(self, case: Case, rival: type[Rival]) -> Parity:
        return step_parity(self.stand(case), precisions[case.precision](), rival)

    def training_parity(self, case: Case, rival: type[Trainer]) -> Parity:
        workload = self.workload(case, pretrained=True)
        splits = {name: workload.split(name, self.device) for name in ("train", "test")}
        build = functools.partial(self.build, pretrained=True)
        return training_parity(case, build, splits, precisions[case.precision](), rival)

    def is_control(self, case: Case) -> bool:
        return precisions[case.precision].control

    def rivals(self, case: Case) -> list[str]:
        """The modes that `case` must beat: on a GPU those that its workload names, on a CPU none."""
        if self.device.type != "cuda" or not precisions[case.precision].rival:
            return []
        workload = workloads[case.workload]
        names = workload.amp_wins_over if self._captured(case) else workload.eager_amp_wins_over
        return [r for r in names if not precisions[r].unsupported(self.device)]

    def limits(self, case: Case) -> NumericsLimits:
        mode, workload = precisions[case.precision], workloads[case.workload]
        terms = mode.roundoff(), workload.conditioning, workload.flips
        return numerics_limits(*terms, masters=mode.masters, scales=mode.scales, half_share=mode.half_share)

    def accuracy_terms(self, case: Case) -> dict[str, Any]:
        """What the gate takes of a mode and its workload, once it and fp32 have been trained."""
        mode = precisions[case.precision]
        terms = {"tolerance": self.tolerance(case), "deviation": self._deviation(case)}
        return {**terms, "loses_updates": mode.loses_updates, "control": mode.control}

    def own_margins(self, case: Case) -> dict[str, float]:
        """Those of the case's workload, by the names of `Margins`, for where none is given."""
        return {"points": self.tolerance(case), "updates": workloads[case.workload].update_noise}

    def tolerance(self, case: Case) -> float:
        """Points of the metric that a mode may lose: the command line's, or the workload's own."""
        return self.workload(case).tolerance if self._tolerance is None else self._tolerance

    def _deviation(self, case: Case) -> Deviation | None:
        """Of differences between the seeds of a mode and those of fp32, pooled over this one and what of 16-bit modes has been
        trained; None for fp32, which does not differ from itself."""
        reference = self._qualities[case.in_precision("fp32")]
        if case == reference.case:
            return None
        same = [q for other, q in self._qualities.items() if other.in_precision("fp32") == reference.case]
        mixed = [q for q in same if precisions[q.case.precision].half_share and not precisions[q.case.precision].control]
        own = [self._qualities[case]] if self._qualities[case] not in mixed else []
        return pooled_deviation([q.gains([reference]) for q in own + mixed])

    def build(self, case: Case, *, dropout: bool = True, pretrained: bool = False) -> TrainStep:
        workload = self.workload(case, pretrained=pretrained)
        precision = precisions[case.precision]()
        return TrainStep(workload, precision, self.device, seed=case.seed, execution=case.execution, dropout=dropout)

    def _captured(self, case: Case) -> bool:
        return self.device.type == "cuda" and case.execution != Eager.name

    def _references(self, case: Case) -> list[str]:
        """The modes that `case` is timed against: those before it in `REFERENCES` that the device can run."""
        before = itertools.takewhile(lambda r: r != case.precision, REFERENCES)
        return [r for r in before if not precisions[r].unsupported(self.device)]

    def _ceiling(self, mode: Precision) -> float | None:
        """Of the format that `mode` computes in, once a session."""
        if not mode.has_ceiling:
            return None
        key = mode.dtype, mode.tf32
        if key not in self._ceilings:
            free_memory()
            self._ceilings[key] = matmul_flops(mode, self.device)
        return self._ceilings[key]

    def stand(self, case: Case) -> Stand:
        """Where `case` is measured, on two batches of its workload's training data. The interval of a ratio of two that are
        measured apart is wider than either's by the root of two."""
        size = self.workload(case).recipe.batch_size
        target = self._target / math.sqrt(2) if self._captured(case) else self._target
        batches = [self._batch(case, slice(i * size, (i + 1) * size)) for i in range(BATCHES)]
        return Stand(case, self.build, batches, self.watch, target)

    def _new_workload(self, name: str, size: Size, pretrained: bool, batch_size: int | None) -> Workload:
        if batch_size is not None:
            return self._workload_in(name, size, pretrained, None).with_batch_size(batch_size)
        return workloads[name](size, self.source, self.checkpoints.get(name) if pretrained else None)

    def _batch(self, case: Case, rows: slice) -> Batch:
        batch = self.workload(case).split("train", torch.device("cpu")).rows(rows)
        return {name: column.to(self.device) for name, column in batch.items()}

    def _emulated(self, case: Case) -> str | None:
        """Why `case` is too slow on this CPU for more than single steps, or None: the time of a step is measured."""
        if self.device.type != "cpu" or case.precision == "fp32":
            return None
        eager = case.model_copy(update={"execution": Eager.name})
        batch = self._batch(case, slice(self.workload(case).recipe.batch_size))
        times = slowdown(self.build(eager), self.build(eager.in_precision("fp32")), batch)
        if times < EMULATED:
            return None
        name = f"{case.precision} in {case.workload}"
        return f"this CPU emulates {name}: a step takes {times:.0f} times that of fp32; single steps run"
