"""Orders for ranks that torchrun or SLURM has started, on one host or on several: nobody gives any there, and they follow from
what all ranks were started with."""

import faulthandler
import time
from collections.abc import Callable, Iterator, Sequence

from mpcore.parallel.kept import Kept
from mpcore.parallel.plan import Order
from mpcore.records import Failure, Parallel, Record, Request, Selection, Speed
from mpcore.runner.runner import CASE_SECONDS

PART_SECONDS = 60.0
"""In which all ranks leave their group: NCCL waits there for each graph that holds a collective."""


class StandingOrders:
    """In the place of a rank's line. Rank 0 takes orders from it until the time is up, and keeps what came of them.

    seconds: in which the last is begun. kept: of rank 0; None on the others. tell: is told of each. refused: why nothing could
    be measured, known to rank 0. A rank that takes too long for an order says where it is and ends, and torchrun ends the
    others: nobody else watches them.
    """

    refused: str | None = None

    def __init__(
        self, selection: Selection, orders: Sequence[Order], seconds: float, kept: Kept | None, tell: Callable[[str], None]
    ) -> None:
        self._open = [order for order in orders if not order.reason]
        self._end = time.monotonic() + seconds
        self._kept = kept
        self._tell = tell
        self._lines = self._all(selection)

    def order(self) -> str:
        """The next, "" after the last."""
        return next(self._lines, "")

    def taken(self, order: str) -> None:
        """It has come to this rank, "" after the last: ranks part then, and wait for each other once more."""
        faulthandler.dump_traceback_later(CASE_SECONDS if order else PART_SECONDS, exit=True)

    def done(self) -> None:
        """The ranks have parted."""
        faulthandler.cancel_dump_traceback_later()

    def say(self, record: Record) -> None:
        """A response of all ranks."""
        if isinstance(record, Failure) and record.case is None:
            self.refused = record.sentence
        elif self._kept is not None and isinstance(record, Speed | Parallel | Failure):
            order = self._open.pop(0)
            self._kept.keep(order, record)
            self._tell(f"{order.name}: {record.sentence if isinstance(record, Failure) else 'measured'}")

    def fault(self, sentence: str) -> None:
        """What has failed in this rank."""
        self._tell(sentence)

    def _all(self, selection: Selection) -> Iterator[str]:
        yield selection.model_dump_json()
        for order in [*self._open]:
            if time.monotonic() >= self._end:
                return
            yield Request(case=order.case, kind=order.kind).model_dump_json()
