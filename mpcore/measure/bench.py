"""The bench: everything that is measured in one session on one device, and what is kept between cases because others are
compared with it: the trainings, the FP64 yardstick of the current workload, the encoded data."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mpcore import precision as _modes  # noqa: F401  (registers the modes)
from mpcore import workloads as _workloads  # noqa: F401
from mpcore.data import Batch, Source
from mpcore.hardware import synchronise
from mpcore.measure.numerics import Observation, measure_numerics, observe
from mpcore.measure.quality import measure_quality
from mpcore.measure.speed import BATCHES, free_memory, measure_speed
from mpcore.policy import NumericsLimits, numerics_limits
from mpcore.precision.pure import FP64
from mpcore.records import Case, Numerics, Quality, Size, Speed
from mpcore.registry import precisions, workloads
from mpcore.train import Progress, TrainStep
from mpcore.workloads import Workload

SEEDS = (0, 1, 2)
EMULATED = 5.0
"""From this many times the step of FP32 on, a mode counts as emulated on a CPU and only single steps of it are run."""
NUMERICS_ROWS = {"tiny": 16, "full": 32}
REFERENCES = ("fp32", "tf32")


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
        tolerance: float | None = None,
        progress: Callable[[str], Progress] | None = None,
    ) -> None:
        self.device = device
        self.source = source or Source()
        self.checkpoints = dict(checkpoints or {})
        self.progress = progress
        self._tolerance = tolerance
        self._qualities: dict[Case, Quality] = {}
        self._yardstick: tuple[str, Observation] | None = None
        self.workload = functools.cache(self._workload)
        self.emulated = functools.cache(self._emulated)

    def check(self, names: Sequence[str], size: Size) -> None:
        """Loads data and weights of the workloads, so that what is wrong with them is said before anything is trained.
        Raises DataError."""
        for name in names:
            workload = self.workload(name, size, True)
            for split in ("train", "test"):
                workload.split(split, torch.device("cpu"))
            if workload.checkpoint is not None:
                workload.build_model()

    def speed(self, case: Case) -> Speed:
        references = [r for r in REFERENCES if r != case.precision and not precisions[r].unsupported(self.device)]
        size = self.workload(case.workload, case.size).recipe.batch_size
        batches = [self._batch(case, slice(i * size, (i + 1) * size)) for i in range(BATCHES)]
        return measure_speed(case, references, self.build, batches)

    def quality(self, case: Case) -> Quality:
        """The trainings of `case`, once a session."""
        if case not in self._qualities:
            workload = self.workload(case.workload, case.size, True)
            splits = {name: workload.split(name, self.device) for name in ("train", "test")}
            build = functools.partial(self.build, pretrained=True)
            self._qualities[case] = measure_quality(case, SEEDS, build, splits, self.progress)
        return self._qualities[case]

    def numerics(self, case: Case) -> Numerics:
        batch = self._batch(case, slice(NUMERICS_ROWS[case.size]))
        key = case.in_precision(FP64.name).id
        if self._yardstick is None or self._yardstick[0] != key:
            free_memory()
            step = TrainStep(self.workload(case.workload, case.size), FP64(), self.device, seed=case.seed, dropout=False)
            self._yardstick = key, observe(step, batch)
        free_memory()
        return measure_numerics(case, self.build(case, dropout=False), batch, self._yardstick[1])

    def is_control(self, case: Case) -> bool:
        return precisions[case.precision].control

    def rivals(self, case: Case) -> list[str]:
        """The modes that `case` must beat: on a GPU those that its workload names, on a CPU none."""
        if self.device.type != "cuda" or not precisions[case.precision].rival:
            return []
        return [r for r in workloads[case.workload].amp_wins_over if not precisions[r].unsupported(self.device)]

    def limits(self, case: Case) -> NumericsLimits:
        mode, conditioning = precisions[case.precision], workloads[case.workload].conditioning
        return numerics_limits(
            mode.roundoff(), conditioning, masters=mode.masters, scales=mode.scales, half_share=mode.half_share
        )  # fmt: skip

    def accuracy_terms(self, case: Case) -> dict[str, Any]:
        """What the gate takes of a mode and its workload. The tolerance is in points of the metric: the command line's,
        or the workload's own."""
        tolerance = workloads[case.workload].tolerances[case.size] if self._tolerance is None else self._tolerance
        mode = precisions[case.precision]
        return {"tolerance": tolerance, "masters": mode.masters, "control": mode.control}

    def build(self, case: Case, *, dropout: bool = True, pretrained: bool = False) -> TrainStep:
        workload = self.workload(case.workload, case.size, pretrained)
        precision = precisions[case.precision]()
        return TrainStep(workload, precision, self.device, seed=case.seed, execution=case.execution, dropout=dropout)

    def _workload(self, name: str, size: Size, pretrained: bool = False) -> Workload:
        return workloads[name](size, self.source, self.checkpoints.get(name) if pretrained else None)

    def _batch(self, case: Case, rows: slice) -> Batch:
        batch = self.workload(case.workload, case.size).split("train", torch.device("cpu")).rows(rows)
        return {name: column.to(self.device) for name, column in batch.items()}

    def _emulated(self, case: Case) -> str | None:
        """Why `case` is too slow on this CPU for more than single steps, or None: the time of a step is measured."""
        if self.device.type != "cpu" or case.precision == "fp32":
            return None
        rows = slice(self.workload(case.workload, case.size).recipe.batch_size)
        seconds = {}
        for precision in ("fp32", case.precision):
            step, batch = self.build(case.in_precision(precision)), self._batch(case, rows)
            step(batch)
            seconds[precision] = min(_timed(step, batch) for _ in range(2))
        slowdown = seconds[case.precision] / seconds["fp32"]
        if slowdown < EMULATED:
            return None
        name = f"{case.precision} in {case.workload}"
        return f"this CPU emulates {name}: a step takes {slowdown:.0f} times that of fp32; single steps run"


def _timed(step: TrainStep, batch: Batch) -> float:
    start = time.perf_counter()
    step(batch)
    synchronise(step.device)
    return time.perf_counter() - start
