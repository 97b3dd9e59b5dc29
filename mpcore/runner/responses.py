"""What a process responds: the cases that there are, and what is measured of one."""

import contextlib
import functools
import gc
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from mpcore.data import DataError
from mpcore.device.allocator import keep_large_blocks_whole
from mpcore.device.machine import probe, software
from mpcore.matrix import alone, cases, device_of, packages_of, resolve, size_of, source_of, workloads_of
from mpcore.measure import CASE_ERRORS, Bench, failure_of
from mpcore.measure.bench import SEEDS
from mpcore.precision import Inapplicable
from mpcore.records import Case, Failure, Listing, Loaded, Machine, Request, Selection
from mpcore.records.protocol import KINDS
from mpcore.registry import UnknownName
from mpcore.runner.case_code import code_of_case
from mpcore.runner.loaded import loaded
from mpcore.runner.runner import Measured
from mpcore.training.loop import Progress
from mpcore.workloads import WorkloadError

ELSEWHERE = "A file of --mp-load registers it in another process alone: expected the same in each"
"""Of a case that is asked for, and not known here."""


class Responder:
    """Of one selection. Data are loaded meanwhile, and no GPU is touched before it is asked: another process may be measuring
    there. A context that is made beside a step changes the step's time for good, by 3.4 % on an H200. Raises SelectionError.

    progress: makes the reporter of one training from its title.
    """

    def __init__(self, selection: Selection, progress: Callable[[str], Progress] | None = None) -> None:
        there, self._unknown = resolve(selection)
        self._there, device = there, device_of(selection)
        self._alone = there is not None and bool(alone(there))
        self._packages = [] if there is None else packages_of(there)
        keep_large_blocks_whole()
        self._bench = Bench(
            device,
            source_of(selection),
            dict(selection.checkpoints),
            tolerance_points=selection.tolerance_points,
            seeds=range(selection.seeds or SEEDS),
            progress=progress,
        )
        size = size_of(selection, device)
        asked = [Case(workload=name, precision="", size=size) for name in ([] if there is None else workloads_of(there))]
        torch.get_num_threads()  # as many as this thread computes with are fixed here, whatever the other sets
        self._loading = threading.Thread(target=self._load, args=(asked,), daemon=True)
        self._loading.start()

    def _load(self, asked: Sequence[Case]) -> None:
        """The data of cases. By one thread: several of each of two processes that load at once took five times as long."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for case in asked:
                with contextlib.suppress(DataError, WorkloadError):  # which is said of the case, when it is measured
                    self._bench.entry(case).load()
        finally:
            torch.set_num_threads(threads)
        gc.collect()
        gc.freeze()  # what is there stays to the end, and is not looked through between cases

    @functools.cached_property
    def _cases(self) -> list[tuple[Case, str | None]]:
        return [] if self._there is None else list(cases(self._there, self._bench.device))

    def response(self, request: Request) -> Listing | Loaded | Measured:
        """What is measured of the case of a request; where it has none, a listing, or the code that was loaded."""
        if request.case is not None:
            return self._measured(request.case, request)
        return loaded(Path.cwd().resolve()) if request.kind == "loaded" else self._listing()

    def _listing(self) -> Listing:
        return Listing(
            machine=Machine(hardware=probe(self._bench.device), software=software(*self._packages)),
            cases=tuple(self._cases),
            unknown=tuple(self._unknown.items()),
            own=_imports_of(Path.cwd().resolve()),
            alone=self._alone,
            kinds=KINDS,
            waits=True,
        )

    def _measured(self, case: Case, request: Request) -> Measured:
        self._loading.join()
        try:
            if request.kind == "speed":
                return self._bench.speed_alone(case)
            if request.kind == "speedup":
                return self._bench.speed(case)
            if request.kind == "parallel":
                return self._bench.parallel(case)
            if request.kind == "work":
                return self._bench.work(case).model_copy(update={"code": code_of_case(case, Path.cwd().resolve())})
            if request.kind == "numerics":
                return self._bench.numerics(case)
            if request.kind == "accuracy":
                return self._bench.accuracy(case, request.rounds)
            return self._bench.time(case, profile=request.profile, slowdown=request.slowdown)
        except Inapplicable as error:
            return Failure(case=case, sentence=str(error), skipped=True)
        except DataError as error:
            return Failure(case=case, sentence=str(error))
        except UnknownName as error:
            return Failure(case=case, sentence=f"{error}. {ELSEWHERE}")
        except CASE_ERRORS as error:
            return failure_of(case, error, self._bench.device)


def _imports_of(tree: Path) -> bool:
    """Whether a module is from there, and not from an environment that lies in it. A relative file is no place: torch.ops
    calls itself `_ops.py`, and no file holds it."""
    files = (Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None)))
    found = (file.resolve() for file in files if file.is_absolute())
    return any(file.is_relative_to(tree) and "site-packages" not in file.parts for file in found)
