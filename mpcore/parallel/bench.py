"""The bench of a session with several GPUs: each case, one GPU included, is measured in ranks, and this process touches no
GPU."""

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from mpcore.measure import Bench, CaseFailed, TooLarge
from mpcore.measure.setup import NOT_MODELLED
from mpcore.parallel.launch import Launcher
from mpcore.parallel.launches import Launches
from mpcore.precision import Inapplicable
from mpcore.records import Case, Drift, Failure, Numerics, Parallel, Quality, Selection, Speed, Work
from mpcore.records.protocol import RequestKind
from mpcore.runner import confirm
from mpcore.workloads import OwnStep, workloads

ON_ONE_GPU = "it is measured in sessions on one GPU: expected no --mp-gpus"


class LaunchedBench:
    """In the place of a `Bench`. Its ranks are launched once for as many cases of so many GPUs as follow each other.

    device: what the ranks measure on. local: what asks workloads, and a CPU how fast it is.
    """

    def __init__(self, selection: Selection, device: torch.device, local: Bench) -> None:
        self._device = device
        self.source = local.source
        self.checkpoints = local.checkpoints
        self._selection = selection
        self._local = local
        self._launches: Launches | None = None
        self._speeds: dict[Case, Speed] = {}

    def check(self, cases: Sequence[Case]) -> None:
        """As `Bench.check`. What is wrong with an own step is said when it is measured."""
        self._local.check([case for case in cases if not issubclass(workloads[case.workload], OwnStep)])

    def emulated(self, case: Case) -> str | None:
        if self._device.type != "cpu" or issubclass(workloads[case.workload], OwnStep):
            return None
        return self._local.emulated(case.model_copy(update={"strategy": "single", "gpus": 1}))

    def speed(self, case: Case) -> Speed:
        """With its references. Once a session."""
        if case not in self._speeds:
            speed = self._measured(case, "speedup")
            assert isinstance(speed, Speed)
            self._speeds[case] = speed
        return self._speeds[case]

    def work(self, case: Case) -> Work:
        work = self._measured(case, "work")
        assert isinstance(work, Work)
        return work

    def parallel(self, case: Case) -> Parallel:
        parallel = self._measured(case, "parallel")
        assert isinstance(parallel, Parallel)
        return parallel

    def drift(self, case: Case) -> Drift | None:
        """None: references are timed in the launch of their case."""
        return None

    def confirm(self, case: Case) -> Speed | str:
        """Its speed in a fresh launch; or why it was not measured."""
        return confirm(case, self._selection, functools.partial(Launcher, ranks=case.gpus))

    def release(self) -> None:
        """Ends the ranks."""
        if self._launches is not None:
            self._launches.close()

    def accuracy(self, case: Case, rounds: int = 1) -> Quality:
        """Of its trainings, and of those on one GPU that they are compared with. rounds: as `Bench.accuracy`."""
        quality = self._measured(case, "accuracy", rounds=rounds)
        assert isinstance(quality, Quality)
        return quality

    def numerics(self, case: Case) -> Numerics:
        """Raises Inapplicable for a step on several GPUs: `parallel` compares its gradient with FP64, where it has a model."""
        if case.spread:
            own = issubclass(workloads[case.workload], OwnStep)
            raise Inapplicable(NOT_MODELLED if own else "test_parallel compares with FP64 what several GPUs average")
        numerics = self._measured(case, "numerics")
        assert isinstance(numerics, Numerics)
        return numerics

    def race(self, case: Case, *_: Any, **__: Any) -> NoReturn:
        raise Inapplicable(ON_ONE_GPU)

    training_parity = race

    def _measured(self, case: Case, kind: RequestKind, *, rounds: int = 1) -> Any:
        """Raises Inapplicable and CaseFailed."""
        if self._launches is None:
            self._launches = Launches(Path.cwd(), self._selection, path=[p or os.curdir for p in sys.path])
        measured = self._launches.measure([case], kind=kind, rounds=rounds)[case]
        if isinstance(measured, Failure):
            skipped = TooLarge if measured.large else Inapplicable
            raise (skipped if measured.skipped else CaseFailed)(measured.sentence)
        return measured
