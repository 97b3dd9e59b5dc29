"""How steps scale over the GPUs of this host, measured within so many minutes and saved after each case."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import torch

from mpcore.device.machine import probe, software
from mpcore.gate import Judge
from mpcore.matrix import packages_of
from mpcore.parallel.launch import Launcher
from mpcore.parallel.plan import Order
from mpcore.records import FailedTest, Failure, Machine, Parallel, Result, Run, Selection, SkippedTest, Speed, Timing
from mpcore.runner.runner import Measured, Runner
from mpcore.store import write
from mpcore.store.files import text_of


@dataclass
class Scale:
    """Measures orders, and then one case in fresh launches, until the time is up.

    seconds: in which all is done. launches: fresh ones of that case at most. command, commit: that are saved with the run.
    judge: of all records. path: the file that is written after each case. tell: is told of each.
    """

    selection: Selection
    device: torch.device
    seconds: float
    launches: float
    command: str
    commit: str | None
    judge: Judge
    path: Path
    tell: Callable[[str], None]
    _results: list[Result] = field(default_factory=list)
    _failed: list[FailedTest] = field(default_factory=list)
    _skipped: list[SkippedTest] = field(default_factory=list)
    _longest: dict[str, float] = field(default_factory=dict)

    def measure(self, orders: Sequence[Order]) -> Run:
        """What came of all of them. Those that the time was too short for are counted as missed. An order that this machine
        cannot run is skipped with its reason."""
        self._end = time.monotonic() + self.seconds
        self._skipped += [SkippedTest(test=o.name, name=o.name, reason=o.reason) for o in orders if o.reason]
        self._orders = [order for order in orders if not order.reason]
        for gpus, group in groupby(self._orders, key=lambda order: order.case.gpus):
            if self._left("speed") > 0:
                with self._launcher(gpus) as ranks:
                    self._measure_on(ranks, list(group))
        self._launch_again()
        return self.run

    @property
    def run(self) -> Run:
        """What there is by now."""
        done = len(self._results) + len(self._failed)
        return Run(
            command=self.command,
            datetime=self._begun,
            commit=self.commit,
            machine=self._machine,
            results=tuple(self._results),
            failed=tuple(self._failed),
            skipped=tuple(self._skipped),
            missed=max(0, len(self._orders) - done),
        )

    @functools.cached_property
    def _begun(self) -> str:
        return datetime.now(UTC).isoformat()

    @functools.cached_property
    def _machine(self) -> Machine:
        return Machine(hardware=probe(self.device), software=software(*packages_of(self.selection)))

    def _launcher(self, gpus: int) -> Launcher:
        return Launcher(Path.cwd(), self.selection, gpus)

    def _left(self, kind: str) -> float:
        """Seconds beyond those that the longest of its kind took."""
        return self._end - time.monotonic() - self._longest.get(kind, 0.0)

    def _measure_on(self, ranks: Runner, orders: Sequence[Order]) -> None:
        for number, order in enumerate(orders):
            if self._left(order.kind) <= 0:
                return
            begin = time.monotonic()
            measured = ranks.measure([order.case], kind=order.kind, seconds=self._end - begin)[order.case]
            took = time.monotonic() - begin
            if number > 0:  # the first waits for the launch
                self._longest[order.kind] = max(took, self._longest.get(order.kind, 0.0))
            self._keep(order, measured)
            self.tell(f"{order.name}: {_said(measured)} ({took:.0f} s)")

    def _keep(self, order: Order, measured: Measured) -> None:
        if isinstance(measured, Failure):
            if measured.skipped:
                self._skipped.append(SkippedTest(test=order.name, name=order.name, reason=measured.sentence))
                self._orders.remove(order)
            elif time.monotonic() < self._end:  # or its time was up, and it is missed
                self._failed.append(FailedTest(test=order.name, name=order.name, sentence=measured.sentence))
        else:
            assert isinstance(measured, Speed | Parallel)
            asked = measured.requirements.model_copy(update={"must_beat": ()})  # no other mode is timed beside it
            self._results.append(self.judge.judge(measured.model_copy(update={"requirements": asked}), self._results))
        self._save()

    def _launch_again(self) -> None:
        """The first case of the most GPUs, which says how far two launches of one and the same code differ."""
        speeds = [result.record for result in self._results if isinstance(result.record, Speed) and result.record.case.spread]
        if not speeds:
            return
        most = max(speed.case.gpus for speed in speeds)
        first = next(speed for speed in speeds if speed.case.gpus == most)
        place = next(number for number, result in enumerate(self._results) if result.record is first)
        while self._left("launch") > 0 and len(first.launches) < self.launches:
            begin = time.monotonic()
            with self._launcher(most) as ranks:
                again = ranks.measure([first.case], seconds=self._end - begin)[first.case]
            self._longest["launch"] = max(time.monotonic() - begin, self._longest.get("launch", 0.0))
            if not isinstance(again, Timing):
                return
            first = first.model_copy(update={"launches": (*first.launches, again.blocks)})
            self._results[place] = self._results[place].model_copy(update={"record": first})
            self._save()
            self.tell(f"launch {len(first.launches) + 1} of {first.name}: {_said(again)}")

    def _save(self) -> None:
        write({self.path: text_of({"mpcore": self.run.model_dump(mode="json")})})


def _said(measured: Measured) -> str:
    if isinstance(measured, Failure):
        return measured.sentence
    if isinstance(measured, Speed | Timing):
        return f"{1e3 * measured.blocks.step_seconds:.3f} ms a step"
    return "measured"
