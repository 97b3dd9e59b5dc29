"""What one pytest session knows: what it is asked for, what it measures with, and what came of each test.

Options -> Bench -> record -> Judge -> Result -> Run. The run is built once, after the last test, by `Outcome`; the file, the
terminal and the page of the job are made from it.
"""

import contextlib
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin.beside import beside as measured_beside
from mpcore.plugin.case_test import CaseTest
from mpcore.plugin.failures import JudgedFailure
from mpcore.plugin.options import Options, options_of, trained
from mpcore.plugin.progress import ProgressLines
from mpcore.plugin.quiet import no_progress_bars

if TYPE_CHECKING:
    import torch

    from mpcore.data import Source
    from mpcore.gate import Judge
    from mpcore.measure import Bench
    from mpcore.parallel.bench import LaunchedBench
    from mpcore.records import (
        AnyRecord,
        Case,
        Cost,
        FailedTest,
        Machine,
        PairedConfirmation,
        Result,
        Selection,
        Size,
        Speed,
    )


@dataclass
class Session:
    """tests, results, failures, skipped: by the node id of the test, or the name of a drift. skipped says why. ran: those
    called. lost: whether the process can use its device no more."""

    config: pytest.Config
    options: Options
    device: "torch.device"
    size: "Size"
    bench: "Bench | LaunchedBench"
    tests: dict[str, CaseTest] = field(default_factory=dict)
    results: "dict[str, Result]" = field(default_factory=dict)
    failures: "dict[str, FailedTest]" = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    lost: bool = False
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self, tests: Mapping[str, CaseTest]) -> None:
        """Loads data, weights and accepted runs, before the first test. Raises UsageError for any that cannot be used."""
        from mpcore.data import DataError
        from mpcore.device.allocator import large_blocks_whole
        from mpcore.plugin.trainings import Trainings
        from mpcore.store import RunError
        from mpcore.workloads import WorkloadError

        self._closing.enter_context(large_blocks_whole())
        self._closing.enter_context(no_progress_bars())
        self._closing.callback(lambda: None if self.lost else self.bench.release())
        try:
            self.bench.check([test.case for test in tests.values()])
            self.judge = self._new_judge()
            self._trainings = Trainings(self.bench, self.judge)
        except (DataError, WorkloadError, RunError) as error:
            raise pytest.UsageError(str(error)) from error
        self.tests = dict(tests)
        gc.collect()  # the collector runs between cases, and would look through all that is imported each time
        gc.freeze()
        self._closing.callback(gc.unfreeze)

    @property
    def device_here(self) -> "torch.device":
        """That this process measures on. With several GPUs it is none of them: ranks measure."""
        import torch

        from mpcore.measure import Bench

        return self.device if isinstance(self.bench, Bench) else torch.device("cpu")

    def forewarned(self) -> list[str]:
        """What `doctor` has to say, in short: what would spoil figures, and the minutes and memory that it will take, where
        accepted runs tell. Of several GPUs each rank would have its own to say."""
        from mpcore.doctor.choice import Planned
        from mpcore.doctor.estimates import card_of, estimates, estimates_here
        from mpcore.doctor.forecast import in_short
        from mpcore.doctor.spoilers import short, spoilers
        from mpcore.store import RunError

        alone = max(self.options.selection.gpus, default=1) == 1
        asked = {test.case.execution for test in self.tests.values()}
        found = list(spoilers(self.device, self.config.invocation_params.dir, os.environ, asked)) if alone else []
        told = estimates(self.judge.baselines, self.machine.hardware.key, {})
        if told is None and self.device_here.type == "cuda":
            try:
                told = estimates_here(self.options.baselines, self.machine.hardware, self.device_here)
            except RunError as error:  # the run of another GPU tells minutes alone, and tests go on without
                return [*short(found), f"how long it will take is not known: {error}"]
        run = [t for t in self.tests.values() if t.kind != "accuracy" or trained(self.options, t.case.workload)]
        planned, card = [Planned(t.kind, t.case) for t in run], card_of(self.machine.hardware, self.device_here)
        expected = in_short(planned, told, card) if told else None
        return [*short(found), *([expected] if expected else [])]

    def close(self) -> None:
        """Puts the settings of the process back."""
        self._closing.close()

    @cached_property
    def machine(self) -> "Machine":
        from mpcore.device.machine import probe, software
        from mpcore.matrix import packages_of
        from mpcore.records import Machine

        packages = packages_of(self.options.selection)
        return Machine(hardware=probe(self.device, self.options.label), software=software(*packages))

    @property
    def folder(self) -> str:
        """Where the accepted runs of this machine are, as a person would name it."""
        folder = self.options.baselines / self.machine.hardware.key
        root = self.config.rootpath
        return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)

    def judge_record(self, test: str, record: "AnyRecord", cost: "Callable[[], Cost | None]" = lambda: None) -> "Result":
        """What the gate says of what a test measured. cost: of that, once nothing more is trained for it. A time or a memory
        that is worse is measured again, in a fresh process that has the GPU for itself. A time that is worse again is measured
        beside the accepted commit. Trainings that decide nothing are followed by more."""
        from mpcore.gate import needs_confirmation, needs_pairs, needs_seeds
        from mpcore.records import Quality, Speed

        before = list(self.results.values())
        result = self.judge.judge(record, before)
        if needs_seeds(result) and self.options.seeds is None:
            result = self._trainings.decided(result, before, self._later_modes(record.case))
        paid = cost()
        if paid is not None and isinstance(record, Quality):
            paid = self._trainings.cost(record.case, paid)
        if needs_confirmation(result):
            self.bench.release()
            again = self._confirmation(record.case)
            result = self.judge.judge(record, before, again)
            if needs_pairs(result) and isinstance(record, Speed):
                result = self.judge.judge(record, before, again, self.beside([record], record.case.id))
        self.results[test] = result.model_copy(update={"cost": paid})
        return self.results[test]

    def _later_modes(self, case: "Case") -> "list[Case]":
        """Of the workload, whose tests of accuracy were not reached yet."""
        tests = [self.tests[node] for node in self.tests if node in self.missed]
        others = [test.case for test in tests if test.kind == "accuracy" and test.case != case]
        return [other for other in others if other.in_precision("") == case.in_precision("")]

    def _confirmation(self, case: "Case") -> "Speed | str":
        from mpcore.parallel.bench import LaunchedBench
        from mpcore.runner import confirm

        return self.bench.confirm(case) if isinstance(self.bench, LaunchedBench) else confirm(case, self.options.selection)

    def beside(self, speeds: "Sequence[Speed]", name: str) -> "PairedConfirmation | str":
        """Cases that have their last accepted run in common, beside its commit. name: whose margins they are judged by."""
        accepted, margins = self.judge.accepted_run(speeds[0]), self.options.policy.margins(name)
        return measured_beside(accepted, speeds, self.options, margins, self.machine.software)

    def measure_drift(self, case: "Case") -> None:
        """After the last case of a workload. Raises JudgedFailure where the drift is so large that what was shown to be faster
        than a reference may not be."""
        from mpcore.measure import CASE_ERRORS, one_sentence

        if self.lost or not any(
            result.record.kind == "speed" and result.record.case.in_precision("") == case.in_precision("")
            for result in self.results.values()
        ):
            return
        try:
            drift = self.bench.drift(case)
        except CASE_ERRORS as error:
            self.skipped[f"{case.id}: drift"] = f"the references of {case.workload} were not timed again: {one_sentence(error)}"
            return
        if drift is not None:
            self.fail(self.judge_record(drift.name, drift))

    def fail(self, result: "Result") -> None:
        """Raises JudgedFailure with the sentences for which its test fails, if there are any."""
        from mpcore.report.summary import why_failed

        strict = [r for r in result.regressions if self.options.strict and r.open]
        failing = [j for j in result.judgements if not j.passed]
        if said := [why_failed(j) for j in (*failing, *strict)]:
            raise JudgedFailure(result, said)

    def failed(self, test: str, sentence: str, result: "Result | None", command: str = "") -> None:
        """Keeps why a test failed. result: what the gate said of it, where that is why. command: what runs it again. A drift
        stands under a name of its own, beside the test of the case that it was measured after."""
        from mpcore.records import Drift, FailedTest

        name = result.record.name if result else self.tests[test].name
        key = name if result and isinstance(result.record, Drift) else test
        strict = result is not None and result.passed
        self.failures[key] = FailedTest(test=key, name=name, sentence=sentence, strict=strict, command=command)

    def had_memory(self, test: str) -> bool:
        """Whether an accepted run measured what this test does, on a machine like this."""
        return any(result.record.name == self.tests[test].name for run in self.judge.baselines for result in run.results)

    @property
    def missed(self) -> set[str]:
        """Tests that were to run, and were not reached."""
        return self.tests.keys() - self.ran - self.failures.keys() - self.skipped.keys()

    def _new_judge(self) -> "Judge":
        """Raises RunError."""
        from mpcore.gate import Judge
        from mpcore.store import accepted, calibration, sensitivities

        folder, hardware = self.options.baselines, self.machine.hardware
        proofs = sensitivities(folder, hardware.key).accuracy
        return Judge(accepted(folder, hardware), self.options.policy, calibration(folder, hardware), proofs)


SESSION = pytest.StashKey[Session]()


def session_of(config: pytest.Config) -> Session:
    """The session's, made at the first call. Raises UsageError for an option that names what is not there."""
    if SESSION not in config.stash:
        config.stash[SESSION] = _new_session(config)
    return config.stash[SESSION]


def _new_session(config: pytest.Config) -> Session:
    options = options_of(config)  # before workloads are loaded, and torch.compile with them

    from mpcore import matrix
    from mpcore.registry import UnknownName
    from mpcore.selection import ALL, SelectionError
    from mpcore.workloads import workloads

    try:
        matrix.check(options.selection)
        workloads.check(name for name in options.accuracy if name != ALL)
        workloads.check(options.checkpoints)
        source, device = matrix.source_of(options.selection), matrix.device_of(options.selection)
    except (UnknownName, SelectionError) as error:
        raise pytest.UsageError(str(error)) from error
    bench = _new_bench(options, source, device, ProgressLines(config))
    size = matrix.size_of(options.selection, device)
    return Session(config=config, options=options, device=device, size=size, bench=bench)


def _new_bench(options: Options, source: "Source", device: "torch.device", progress: ProgressLines) -> "Bench | LaunchedBench":
    """One in this process, or one that launches ranks, whose own process touches no GPU."""
    import torch

    from mpcore.measure import Bench
    from mpcore.measure.bench import SEEDS
    from mpcore.measure.setups import TARGET
    from mpcore.parallel.bench import LaunchedBench

    several = options.selection.spread
    if several and options.target is not None:
        raise pytest.UsageError("--mp-precision-target is for sessions on one GPU: expected no --mp-gpus beside it")
    local = Bench(
        torch.device("cpu") if several else device,
        source,
        options.checkpoints,
        tolerance_points=options.tolerance_points,
        target=options.target or TARGET,
        seeds=range(options.seeds or SEEDS),
        progress=progress,
    )
    return LaunchedBench(_in_ranks(options), device, local) if several else local


def _in_ranks(options: Options) -> "Selection":
    """What ranks are told, which know no other options."""
    trained = {"checkpoints": tuple(options.checkpoints.items()), "seeds": options.seeds}
    return options.selection.model_copy(update=trained | {"tolerance_points": options.tolerance_points})
