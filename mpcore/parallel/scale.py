"""How steps scale over the GPUs of this host, measured within so many minutes."""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby, islice, repeat
from pathlib import Path

from mpcore.parallel.kept import Kept
from mpcore.parallel.launch import Launcher
from mpcore.parallel.plan import Order
from mpcore.records import Case, Failure, Run, Selection, Speed, Timing
from mpcore.runner.runner import Measured, Runner


@dataclass
class Scale:
    """Measures the orders of `kept`, and then one case in fresh launches, until the time is up. Those that it was too short for
    are missed.

    seconds: in which all is done. launches: fresh ones of that case at most. tell: is told of each.
    """

    selection: Selection
    kept: Kept
    seconds: float
    launches: float
    tell: Callable[[str], None]
    _longest: dict[str, float] = field(default_factory=dict)

    def measure(self) -> Run:
        self._end = time.monotonic() + self.seconds
        for gpus, orders in groupby(self.kept.wanted, key=lambda order: order.case.gpus):
            if self._left("speed") > 0:
                with self._launcher(gpus) as ranks:
                    self._measure_on(ranks, list(orders))
        self._launch_again()
        return self.kept.run

    def _launches(self, case: Case) -> Generator[Runner]:
        """For `case`, each of which ends when the next is taken. That one gets ready meanwhile beside a graph, which no import
        disturbs."""
        ahead = 1 if case.captured and self.kept.hardware.device == "cuda" else 0
        left = repeat(case.gpus) if math.isinf(self.launches) else repeat(case.gpus, int(self.launches))
        waiting = deque[Runner]()
        try:
            while True:
                waiting.extend(self._launcher(gpus) for gpus in islice(left, 1 + ahead - len(waiting)))
                if not waiting:
                    return
                with waiting.popleft() as ranks:
                    yield ranks
        finally:
            for ranks in waiting:
                ranks.close()

    def _launcher(self, gpus: int) -> Runner:
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
            if isinstance(measured, Failure) and time.monotonic() >= self._end:
                return  # its time was up
            self.kept.keep(order, measured)
            self.tell(f"{order.name}: {_said(measured)} ({took:.0f} s)")

    def _launch_again(self) -> None:
        """The first case of the most GPUs, which says how far two launches of one and the same code differ."""
        spread = [
            (place, result.record)
            for place, result in enumerate(self.kept.results)
            if isinstance(result.record, Speed) and result.record.case.spread
        ]
        if not spread:
            return
        place, first = max(spread, key=lambda each: each[1].case.gpus)
        with closing(self._launches(first.case)) as launches:
            while self._left("launch") > 0 and len(first.launches) < self.launches:
                begin = time.monotonic()
                again = next(launches).measure([first.case], seconds=self._end - begin)[first.case]
                self._longest["launch"] = max(time.monotonic() - begin, self._longest.get("launch", 0.0))
                if not isinstance(again, Timing):
                    self.tell(f"a fresh launch of {first.name}: {_said(again)}")
                    return
                first = first.model_copy(update={"launches": (*first.launches, again.blocks)})
                self.kept.results[place] = self.kept.results[place].model_copy(update={"record": first})
                self.kept.save()
                self.tell(f"launch {len(first.launches) + 1} of {first.name}: {_said(again)}")


def _said(measured: Measured) -> str:
    if isinstance(measured, Failure):
        return measured.sentence
    if isinstance(measured, Speed | Timing):
        return f"{1e3 * measured.blocks.step_seconds:.3f} ms a step"
    return "measured"
