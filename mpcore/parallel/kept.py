"""What came of cases on several ranks: judged, and saved after each."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mpcore.device.machine import software
from mpcore.gate import Judge
from mpcore.parallel.plan import Order
from mpcore.records import FailedTest, Failure, Hardware, Machine, Parallel, Result, Run, SkippedTest, Speed
from mpcore.runner.runner import Measured
from mpcore.store import write
from mpcore.store.files import text_of


@dataclass
class Kept:
    """What came of orders by now. An order that this machine cannot run is skipped with its reason.

    judge: of all records. command, commit: that are saved with the run. path: the file that is written.
    """

    orders: Sequence[Order]
    hardware: Hardware
    judge: Judge
    command: str
    commit: str | None
    path: Path
    results: list[Result] = field(default_factory=list)
    failed: list[FailedTest] = field(default_factory=list)
    skipped: list[SkippedTest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun = datetime.now(UTC).isoformat()
        self.skipped += [SkippedTest(test=o.name, name=o.name, reason=o.reason) for o in self.orders if o.reason]

    @property
    def wanted(self) -> list[Order]:
        """Those that can be run."""
        return [order for order in self.orders if not order.reason]

    def keep(self, order: Order, measured: Measured) -> None:
        """Raises RunError where the file cannot be written."""
        name = order.name
        if isinstance(measured, Failure) and measured.skipped:
            self.skipped.append(SkippedTest(test=name, name=name, reason=measured.sentence))
        elif isinstance(measured, Failure):
            self.failed.append(FailedTest(test=name, name=name, sentence=measured.sentence))
        else:
            assert isinstance(measured, Speed | Parallel)
            asked = measured.requirements.model_copy(update={"must_beat": ()})  # no other mode is timed beside it
            self.results.append(self.judge.judge(measured.model_copy(update={"requirements": asked}), self.results))
        self.save()

    def save(self) -> None:
        write({self.path: text_of({"mpcore": self.run.model_dump(mode="json")})})

    @property
    def run(self) -> Run:
        return Run(
            command=self.command,
            datetime=self._begun,
            commit=self.commit,
            machine=self._machine,
            results=tuple(self.results),
            failed=tuple(self.failed),
            skipped=tuple(self.skipped),
            missed=len(self.orders) - len(self.results) - len(self.failed) - len(self.skipped),
        )

    @functools.cached_property
    def _machine(self) -> Machine:
        return Machine(hardware=self.hardware, software=software())
