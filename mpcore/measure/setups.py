"""What the cases of one session are measured with: workloads that are made once, their data, and what each case must reach."""

import functools
import math
from collections.abc import Mapping

import torch

from mpcore.data import Batch, Source, Split
from mpcore.device import agreement
from mpcore.device.nvml import NvmlSampler
from mpcore.measure.requirements import can_run, requirements_of
from mpcore.measure.setup import Setup, TimingSetup, modelled
from mpcore.records import OWN_TRAINER, Case, Size
from mpcore.workloads import Entry, OwnStep, Workload, workloads

BATCHES = 2
"""Batches that the steps take turns on: few enough to be learned in the learning steps."""
TARGET = 0.002
"""Half-width of the 99 % intervals of times and ratios, as a share, that timing goes on for."""
CPU = torch.device("cpu")


class Setups:
    """source: where data come from. checkpoints: by workload, a folder or hub id that its trainings start from.
    tolerance_points: what a training may lose, in place of the workload's own. target: as `TARGET`."""

    def __init__(
        self,
        device: torch.device,
        source: Source | None = None,
        checkpoints: Mapping[str, str] | None = None,
        *,
        tolerance_points: float | None = None,
        target: float = TARGET,
    ) -> None:
        self.device = device
        self.source = source or Source()
        self.checkpoints = dict(checkpoints or {})
        self.sampler = NvmlSampler(device)
        self._tolerance_points = tolerance_points
        self._target = target
        self._entry_in = functools.cache(self._new_entry)

    def of(self, case: Case, *, pretrained: bool = False) -> Setup:
        """With what is required of the case."""
        entry = self.entry(case, pretrained=pretrained)
        return Setup(case, entry, self.device, requirements_of(case, entry, self.device, self._tolerance_points))

    def timing(self, case: Case) -> TimingSetup:
        """On two batches of its workload's training data, or of an own step's own. The interval of a ratio of two that are
        measured apart is wider than either's by the root of two."""
        own = isinstance(self.entry(case), OwnStep)
        return TimingSetup(
            **vars(self.of(case)),
            batches=[] if own else [self._rank_batch(case, number) for number in range(BATCHES)],
            sampler=self.sampler,
            target=self._target / math.sqrt(2) if self.captured(case) else self._target,
        )

    def entry(self, case: Case, *, pretrained: bool = False) -> Entry:
        """The workload or the own step of `case`, in its size of batch, made once. All cases share the data in memory."""
        return self._entry_in(case.workload, case.model_size, pretrained and case.workload in self.checkpoints, case.batch_size)

    def workload(self, case: Case, *, pretrained: bool = False) -> Workload:
        """The same, where mpcore makes its step. Raises Inapplicable for an own step."""
        return modelled(self.entry(case, pretrained=pretrained))

    def captured(self, case: Case) -> bool:
        """Whether its steps are replayed here, so that they repeat well."""
        return self.device.type == "cuda" and case.captured

    def made(self, case: Case) -> Case:
        """The case by its trainer, or by mpcore where that has no such mode."""
        return case if can_run(case, self.device) else case.model_copy(update={"trainer": OWN_TRAINER})

    def base(self, case: Case) -> str | None:
        """The mode that the case's is a variant of; None where it is none."""
        return self.of(case).requirements.base

    def splits(self, workload: Workload) -> dict[str, Split]:
        """The data to train on and to test with, on the device."""
        return {name: workload.training_split(name, self.device) for name in ("train", "test")}

    def batch(self, case: Case, rows: slice) -> Batch:
        """These rows of the workload's training data, on the device."""
        return self.workload(case).split("train", CPU).rows_on(self.device, rows)

    def _rank_batch(self, case: Case, number: int) -> Batch:
        """Another one on each rank, as far as there are as many."""
        workload = self.workload(case)
        size = workload.rows_per_batch
        count = len(workload.split("train", CPU)) // size
        start = (number + agreement.rank()) % count * size
        return self.batch(case, slice(start, start + size))

    def _new_entry(self, name: str, size: Size, pretrained: bool, batch_size: int | None) -> Entry:
        if batch_size is not None:
            entry = self._entry_in(name, size, pretrained, None)
            return entry.with_batch_size(batch_size) if isinstance(entry, Workload) else entry
        return workloads[name](size, self.source, self.checkpoints.get(name) if pretrained else None)
