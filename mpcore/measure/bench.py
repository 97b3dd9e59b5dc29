"""The bench: everything that is measured in one session on one device, and what is kept between cases because others are
compared with it: the times of references, the trainings, the FP64 yardstick of the current workload, the encoded data."""

import contextlib
import functools
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from mpcore.data import Batch, DataError, Source, Split
from mpcore.device import agreement
from mpcore.device.machine import fast_in_fp64
from mpcore.device.nvml import NvmlSampler
from mpcore.device.profiler import profiled
from mpcore.execution import Eager, executions
from mpcore.measure.accuracy import measure_accuracy
from mpcore.measure.ceiling import matmul_flops
from mpcore.measure.curves import measure_curves
from mpcore.measure.emulation import EMULATED, slowdown_of
from mpcore.measure.entrants import entrants
from mpcore.measure.errors import CASE_ERRORS, CaseFailed, failure_of
from mpcore.measure.injected_delay import DelayedStep, wait_of
from mpcore.measure.memory import free_everything, free_memory
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.parallel import PARTS, Joint, measure_joint, measure_parallel
from mpcore.measure.parity import training_parity
from mpcore.measure.race import measure_race, same_mode
from mpcore.measure.requirements import can_run, requirements_of
from mpcore.measure.setup import Setup, TimingSetup, modelled
from mpcore.measure.speed import BATCHES, measure_speed
from mpcore.measure.timing import TimedStep, interleave
from mpcore.measure.work import measure_work
from mpcore.measure.wrong_gradients import found_gradients
from mpcore.measure.yardstick import Yardstick
from mpcore.precision import Inapplicable, Precision, PrecisionError, precisions
from mpcore.precision.casting import matching
from mpcore.precision.pure import FP64
from mpcore.records import (
    OWN_TRAINER,
    Case,
    Drift,
    Failure,
    GradientProof,
    Numerics,
    Parallel,
    Parity,
    Quality,
    Race,
    Reference,
    Size,
    Speed,
    Timing,
    Work,
)
from mpcore.trainers import Trainer
from mpcore.training.loop import Progress
from mpcore.training.of_workload import WorkloadStep
from mpcore.training.step import TrainStep
from mpcore.workloads import Entry, OwnStep, Workload, workloads
from mpcore.workloads.checked import WorkloadError, check_last_batch, checked_model

C = TypeVar("C", Parity, Race)
CPU = torch.device("cpu")
SEEDS = 3
"""Trainings of a mode: fewer say nothing of chance."""
REFERENCES = ("fp32", "tf32")
DRIFT_BLOCKS = 3
"""That a reference is timed for once more: enough for a drift of per cents."""
SLOW_FP64 = 4
"""How many times fewer samples are computed in FP64 on a GPU that is slow in it."""
NO_MEMORY = "it finds no memory"
TARGET = 0.002
"""Half-width of the 99 % intervals of times and ratios, as a share, that timing goes on for."""


class Bench:
    """source: where data come from. checkpoints: by workload, a folder or hub id that its trainings start from.
    tolerance_points: what a training may lose, in place of the workload's own. progress: makes the reporter of one training
    from its title.

    A checkpoint decides where a training starts and what it trains. Speed and numerics are those of the architecture that the
    workload names, with random weights, and stay comparable.
    """

    def __init__(
        self,
        device: torch.device,
        source: Source | None = None,
        checkpoints: Mapping[str, str] | None = None,
        *,
        tolerance_points: float | None = None,
        target: float = TARGET,
        seeds: Sequence[int] = range(SEEDS),
        progress: Callable[[str], Progress] | None = None,
    ) -> None:
        self.device = device
        self.source = source or Source()
        self.checkpoints = dict(checkpoints or {})
        self.progress = progress
        self.sampler = NvmlSampler(device)
        self._tolerance_points = tolerance_points
        self._target = target
        self._seeds = tuple(seeds)
        self._speeds: dict[Case, Speed] = {}
        self._works: dict[Case, Work] = {}
        self._failed: dict[Case, Failure] = {}
        self._ceilings: dict[tuple[torch.dtype, bool], float | None] = {}
        self._trainings: dict[Case, Quality] = {}
        self._numerics: dict[Case, Numerics] = {}
        self._yardstick: tuple[tuple[str, float | None], Yardstick] | None = None
        self._joint: tuple[Case, Joint] | None = None
        self._entry_in = functools.cache(self._new_entry)
        self.emulated = functools.cache(self._emulated)

    def check(self, cases: Sequence[Case]) -> None:
        """Loads data and weights of the cases' workloads, so that what is wrong with them is said before anything is trained.
        Raises DataError, WorkloadError."""
        by_entry = {case.in_precision(""): case for case in reversed(cases)}
        for case in reversed(by_entry.values()):
            entry = self.entry(case, pretrained=True)
            if case.workload in self.checkpoints and not entry.reads_checkpoint:
                raise DataError(f"{case.workload} reads no pretrained weights: expected no checkpoint for it")
            if isinstance(entry, OwnStep):
                self._check_own_step(case.in_precision(entry.reference))
                continue
            workload = self.workload(case, pretrained=True)
            rows, batch_size = len(self._splits(workload, CPU)["train"]), workload.recipe.batch_size
            if rows < BATCHES * batch_size:
                raise DataError(
                    f"{case.workload} has {rows} samples to train in {self.source.where!r}: "
                    f"expected at least {BATCHES} batches of {batch_size}"
                )
            check_last_batch(workload)
            self._check_kept(case, workload)
            if case.workload in self.checkpoints:
                checked_model(workload)

    def _check_kept(self, case: Case, workload: Workload) -> None:
        patterns = [*workload.keep_fp32, *case.keep_fp32]
        if patterns:
            try:
                matching(checked_model(workload), patterns)
            except ValueError as error:
                raise WorkloadError(f"{workload.name}: {error}") from error

    def entry(self, case: Case, *, pretrained: bool = False) -> Entry:
        """The workload or the own step of `case`, in its size of batch, made once. All cases share the data in memory."""
        return self._entry_in(case.workload, case.model_size, pretrained and case.workload in self.checkpoints, case.batch_size)

    def workload(self, case: Case, *, pretrained: bool = False) -> Workload:
        """The same, where mpcore makes its step. Raises Inapplicable for an own step."""
        return modelled(self.entry(case, pretrained=pretrained))

    def speed(self, case: Case) -> Speed:
        """Once a session. Captured steps repeat so well that their references are measured once, as cases of their own;
        eager ones take turns with theirs, and a variant with its base. A reference that cannot be measured is left out."""
        if case not in self._speeds:
            names, base = self._references(case), self._base(case)
            references: dict[str, Reference | None] = dict.fromkeys(names)
            if self._captured(case):
                alone = {name: self._reference(case.in_precision(name)) for name in names}
                references = {name: reference for name, reference in alone.items() if reference is not None}
            if base is not None:
                names, references = [*names, base], references | {base: None}
            ceiling = self._ceiling(case)
            speed, self._works[case] = measure_speed(self.timing_setup(case), references, ceiling)
            failed = {n: self._failed.get(case.in_precision(n)) for n in names if n not in speed.references}
            missing = {name: failure.sentence if failure else NO_MEMORY for name, failure in failed.items()}
            large = {name for name, failure in failed.items() if failure is None or failure.large}
            must_beat = tuple(name for name in self._must_beat(speed, names) if name not in large)
            asked = speed.requirements.model_copy(update={"must_beat": must_beat})
            self._speeds[case] = speed.model_copy(update={"missing": missing, "requirements": asked})
        return self._speeds[case]

    def speed_alone(self, case: Case) -> Speed:
        """`case` without references, as it is measured once more in a fresh process where it seems to have got worse."""
        return measure_speed(self.timing_setup(case), {}, self._ceiling(case))[0]

    def work(self, case: Case) -> Work:
        """What a step of `case` does, once a session; where its speed is measured, it was counted then."""
        if case not in self._works:
            self._works[case] = measure_work(self.timing_setup(case))
        return self._works[case]

    def time(self, case: Case, *, profile: bool = False, slowdown: float = 1.0) -> Timing:
        """The time of a step and nothing else, as soon as it can be had: nothing is learnt, counted or compared with. slowdown:
        how many times longer a step is made to take."""
        free_everything()
        setup = self.timing_setup(case)
        step = setup.build()
        own = setup.timed(step)
        if slowdown > 1:
            interleave([own], math.inf, self.sampler)
            wait = wait_of((slowdown - 1) * own.blocks.step_seconds, self.device)
            own = TimedStep(DelayedStep(step, wait), own.batches)
        dropped = interleave([own], math.inf, self.sampler)
        return Timing(
            **setup.fields,
            blocks=own.blocks,
            pool_bytes=step.pool_bytes,
            dropped_blocks=dropped,
            profile=profiled(functools.partial(own.step, own.batches[0]), self.device) if profile else None,
        )

    def parallel(self, case: Case) -> Parallel:
        """What ranks have in common. To be asked on each of them."""
        setup = self.timing_setup(case)
        if isinstance(setup.workload, OwnStep):
            return measure_parallel(setup, None, None)
        count = agreement.ranks()
        own = setup.modelled.numerics_rows[case.model_size] // count // PARTS * PARTS
        rows = self._batch(case, slice(count * max(PARTS, own)))
        key = case.in_precision("")
        if self._joint is None or self._joint[0] != key:
            self._joint = None
            self._joint = key, measure_joint(setup, rows)
        return measure_parallel(setup, rows, self._joint[1])

    def release(self) -> None:
        """Gives back what is kept on the device, for another process."""
        self._yardstick = self._joint = None
        free_memory()

    def drift(self, case: Case) -> Drift | None:
        """How much longer the references of the case's workload take now than when they were measured; None where they took
        turns with each case, or were not measured. Compiled ones drift as the others do, and take long to be had again."""
        again = self._captured(case) and not executions[case.execution].compiles
        names = self._reference_names(case) if again else []
        firsts = [self._speeds.get(case.in_precision(name)) for name in names]
        shares = {s.case.precision: self._time_again(s.case) / s.blocks.step_seconds - 1 for s in firsts if s is not None}
        return Drift(**self.setup(case.in_precision(next(iter(shares)))).fields, shares=shares) if shares else None

    def accuracy(self, case: Case) -> Quality:
        """The trainings of `case`, once a session; before them those that they are compared with: of its base for a variant, of
        FP32 for any other."""
        if case not in self._trainings:
            setup = self.setup(case, pretrained=True)
            entry = setup.workload
            first = self._made(case.in_precision(entry.reference if isinstance(entry, OwnStep) else self._base(case) or "fp32"))
            reference = None if case == first else self.accuracy(first).scores
            if isinstance(entry, OwnStep):
                self._trainings[case] = measure_curves(setup, self._seeds, reference, self.progress)
            else:
                splits = self._splits(modelled(entry), self.device)
                self._trainings[case] = measure_accuracy(setup, self._seeds, splits, reference, self.progress)
        return self._trainings[case]

    def planted_accuracy(self, case: Case, plant: Callable[[WorkloadStep], None], reference: Quality | None) -> Quality:
        """Trainings whose steps have a fault. reference: what they are compared with, None for themselves."""
        setup = self.setup(case)
        scores = reference.scores if reference else None
        return measure_accuracy(setup, self._seeds, self._splits(setup.modelled, self.device), scores, self.progress, plant)

    def found_gradients(self, case: Case) -> GradientProof:
        """Of how many tensors a wrong gradient is found. Raises Inapplicable where FP64 cannot run, and no tensor is judged."""
        numerics, rows = self.numerics(case), self._numerics_rows(case)
        if not numerics.tensors or self._yardstick is None:
            raise Inapplicable(f"no tensor of {case.workload} is judged in {case.precision}")
        batches = self._batch(case, slice(rows)), self._batch(case, slice(rows, 2 * rows))
        return found_gradients(self.setup(case), numerics, *batches, self._yardstick[1])

    def numerics(self, case: Case) -> Numerics:
        """Against the FP64 yardstick of the workload, which is kept for the next case; a variant's against its base's, too."""
        batch = self._batch(case, slice(self._numerics_rows(case)))
        base = self._base_numerics(case)
        clipped = precisions[case.precision]().max_norm  # as the yardstick is, too
        truth = {"precision": FP64.name, "trainer": OWN_TRAINER, "execution": Eager.name}
        key = case.model_copy(update=truth).id, clipped
        if self._yardstick is None or self._yardstick[0] != key:
            self._yardstick = None
            free_memory()
            self._yardstick = key, self._new_yardstick(case, batch, clipped)
        free_memory()
        self._numerics[case] = measure_numerics(self.setup(case), batch, self._yardstick[1], base)
        return self._numerics[case]

    def _numerics_rows(self, case: Case) -> int:
        """Of the batch that is computed in FP64, too: fewer where that is slow."""
        rows = self.workload(case).numerics_rows[case.model_size]
        return rows if case.model_size == "tiny" or fast_in_fp64(self.device) else max(1, rows // SLOW_FP64)

    def _new_yardstick(self, case: Case, batch: Batch, clipped: float | None) -> Yardstick:
        """In FP64; where that cannot run, or needs more memory than there is, in FP32. Raises Inapplicable for FP32 itself
        then."""

        def step(mode: type[Precision]) -> TrainStep:
            return TrainStep(self.workload(case), mode(max_norm=clipped), self.device, seed=case.seed, dropout=False)

        try:
            return Yardstick(step(FP64), batch)
        except (PrecisionError, WorkloadError, torch.cuda.OutOfMemoryError) as error:
            found = failure_of(case, error, self.device)
            if isinstance(error, torch.cuda.OutOfMemoryError) and not found.large:
                raise CaseFailed(found.sentence) from None
            failure = found.sentence
        yardstick = Yardstick(step(precisions["fp32"]), batch, failure)
        if case.precision == "fp32" and case.trainer == OWN_TRAINER:
            raise Inapplicable(f"{case.workload} has no other yardstick than fp32, for FP64 cannot run it ({failure})")
        return yardstick

    def race(
        self,
        case: Case,
        modes: Sequence[str],
        trainers: Sequence[str],
        executions: Sequence[str] = (),
        *,
        at_least: float,
        same_mode_at_least: float | None = None,
    ) -> Race:
        """Our steps of the workload of `case` in `modes` against those of `trainers` in its mode. executions: of all of them,
        in place of the usual ones. at_least: how many times as fast as the fastest other our fastest must be.
        same_mode_at_least: the same of `compile` against plain PyTorch by `reduce-overhead`, both in the mode of the case."""
        among = entrants(case, modes, trainers, executions, self.device)
        asked = self.device.type == "cuda" and among.asked >= {each.id for each in same_mode(case)}
        found = measure_race(case, among, self.timing_setup)
        return self._required(found, at_least=at_least, same_mode_at_least=same_mode_at_least if asked else None)

    def training_parity(self, case: Case, trainer: type[Trainer], at_least: float) -> Parity:
        """at_least: how many times as fast as the trainer's training that of the case must be."""
        setup = self.setup(case, pretrained=True)
        found = training_parity(setup, self._splits(setup.modelled, self.device), trainer)
        return self._required(found, at_least=at_least)

    def setup(self, case: Case, *, pretrained: bool = False) -> Setup:
        """With what is required of the case."""
        entry = self.entry(case, pretrained=pretrained)
        return Setup(case, entry, self.device, requirements_of(case, entry, self.device, self._tolerance_points))

    def timing_setup(self, case: Case) -> TimingSetup:
        """On two batches of its workload's training data, or of an own step's own. The interval of a ratio of two that are
        measured apart is wider than either's by the root of two."""
        own = isinstance(self.entry(case), OwnStep)
        return TimingSetup(
            **vars(self.setup(case)),
            batches=[] if own else [self._rank_batch(case, number) for number in range(BATCHES)],
            sampler=self.sampler,
            target=self._target / math.sqrt(2) if self._captured(case) else self._target,
        )

    def _base(self, case: Case) -> str | None:
        """The mode that the case's is a variant of."""
        return self.setup(case).requirements.base

    def _base_numerics(self, case: Case) -> Numerics | None:
        """What was measured of the base last, or is now; None of what is no variant."""
        base = self._base(case)
        return None if base is None else self._numerics.get(case.in_precision(base)) or self.numerics(case.in_precision(base))

    def _captured(self, case: Case) -> bool:
        return self.device.type == "cuda" and case.captured

    def _references(self, case: Case) -> list[str]:
        """The modes that `case` is timed against: the references before it that can be run. For a compiled case none is
        compiled that was not asked for: that would take longer than all else, and AMP is shown to be faster as a graph."""
        before = itertools.takewhile(lambda name: name != case.precision, self._reference_names(case))
        found = [name for name in before if can_run(case.in_precision(name), self.device)]
        if not executions[case.execution].compiles:
            return found
        return [name for name in found if case.in_precision(name) in self._speeds]

    def _must_beat(self, speed: Speed, names: Sequence[str]) -> tuple[str, ...]:
        """What its case must, of the modes that it was to be timed against where it is compiled."""
        must = speed.requirements.must_beat
        return tuple(name for name in must if name in names) if executions[speed.case.execution].compiles else must

    def _reference_names(self, case: Case) -> list[str]:
        entry = self.entry(case)
        if not isinstance(entry, OwnStep):
            return list(REFERENCES)
        return [name for name in entry.precisions if name in (*REFERENCES, *entry.must_beat, entry.reference)]

    def _made(self, case: Case) -> Case:
        """By its trainer, or by mpcore where that has no such mode."""
        return case if can_run(case, self.device) else case.model_copy(update={"trainer": OWN_TRAINER})

    def _reference(self, case: Case) -> Reference | None:
        """A case that others are compared with; None, once and for all, where it fails."""
        if case not in self._failed:
            try:
                speed = self.speed(case)
                return Reference(blocks=speed.blocks, rounds=None, dropped_blocks=speed.dropped_blocks)
            except CASE_ERRORS as error:
                if agreement.ranks() > 1:  # the others may wait for this one
                    raise
                self._failed[case] = failure_of(case, error, self.device)
        return None

    def _time_again(self, case: Case) -> float:
        """Seconds of a step."""
        free_memory()
        timed = self.timing_setup(case).timed_step(case.precision)
        timed.warm_up()
        return statistics.median(timed.block(n, self.sampler)[0] for n in range(DRIFT_BLOCKS)) / timed.steps

    def _ceiling(self, case: Case) -> float | None:
        """Of the format that its mode computes in, once a session. None for a precision that is no mode."""
        if case.precision not in precisions.names() or not (mode := precisions[case.precision]()).has_ceiling:
            return None
        key = mode.dtype, mode.tf32
        if key not in self._ceilings:
            free_memory()
            self._ceilings[key] = matmul_flops(mode, self.device)
        return self._ceilings[key]

    def _check_own_step(self, case: Case) -> None:
        """One step of it, eager. Raises WorkloadError. What this device cannot do is said of each case."""
        setup = self.setup(case.model_copy(update={"execution": Eager.name}))
        with contextlib.suppress(Inapplicable, torch.cuda.OutOfMemoryError):
            step = setup.build()
            step(step.batches[0])
            del step
        free_memory()

    def _new_entry(self, name: str, size: Size, pretrained: bool, batch_size: int | None) -> Entry:
        if batch_size is not None:
            entry = self._entry_in(name, size, pretrained, None)
            return entry.with_batch_size(batch_size) if isinstance(entry, Workload) else entry
        return workloads[name](size, self.source, self.checkpoints.get(name) if pretrained else None)

    def _splits(self, workload: Workload, device: torch.device) -> dict[str, Split]:
        return {name: workload.split(name, device) for name in ("train", "test")}

    def _batch(self, case: Case, rows: slice) -> Batch:
        batch = self.workload(case).split("train", CPU).rows(rows)
        return {name: column.to(self.device) for name, column in batch.items()}

    def _rank_batch(self, case: Case, number: int) -> Batch:
        """Another one on each rank, as far as there are as many."""
        workload = self.workload(case)
        size = workload.rows_per_batch
        count = len(workload.split("train", CPU)) // size
        start = (number + agreement.rank()) % count * size
        return self._batch(case, slice(start, start + size))

    def _required(self, record: C, **least: float | None) -> C:
        return record.model_copy(update={"requirements": record.requirements.model_copy(update=least)})

    def _emulated(self, case: Case) -> str | None:
        """Why `case` is too slow on this CPU for more than single steps, or None: the time of a step is measured."""
        if self.device.type != "cpu" or case.precision == "fp32":
            return None
        eager = self.timing_setup(case.model_copy(update={"execution": Eager.name}))
        if isinstance(eager.workload, OwnStep) and "fp32" not in eager.workload.precisions:
            return None
        reference = self.setup(self._made(eager.case.in_precision("fp32")))
        step = eager.build()
        times = slowdown_of(step, reference.build(), eager.batches_of(step)[0])
        if times < EMULATED:
            return None
        name = f"{case.precision} in {case.subject}"
        return f"this CPU emulates {name}: a step takes {times:.0f} times that of fp32; single steps run"
