"""Fresh processes in pairs, of base and of head, one after the other. The next get ready while one measures."""

import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mpcore.ab import work
from mpcore.ab.code import check_code, loaded_after
from mpcore.ab.listings import listed
from mpcore.ab.processes import patience
from mpcore.ab.revisions import Checkout
from mpcore.records import Case, Failure, Listing, Loaded, Selection
from mpcore.runner import Measured, narrowed

BALANCED = 6
"""In so many pairs in a row head comes first in half of them."""
AHEAD = {"cuda": 2, "cpu": 0}
"""Processes that get ready while one measures: on a GPU it takes them longer to import than to measure a few cases, and they
disturb less. On a CPU the one that measures has all cores: beside an import the same step took from 2.4 to 566 ms."""


class Process(work.Process, Protocol):
    """What a Runner does."""

    def prepare(self, cases: Sequence[Case]) -> None: ...

    def measure(
        self, cases: Sequence[Case], *, profile: bool = False, slowdown: float = 1.0, seconds: float | None = None
    ) -> dict[Case, Measured]: ...


Start = Callable[[Checkout, Selection], Process]


@dataclass(frozen=True)
class PairResult:
    """What the two processes of a pair measured, by case."""

    base: dict[Case, Measured]
    head: dict[Case, Measured]
    head_first: bool


class Scheduler:
    """The order within each pair is random and balanced, from a seed. Close it, or use it in a `with`."""

    def __init__(self, base: Checkout, head: Checkout, selection: Selection, *, seed: int, start: Start) -> None:
        self._checkouts = base, head
        self._selection = selection
        self._start = start
        self._order = _order(seed)
        self._ahead = AHEAD["cpu"]
        self._wait = False
        self._longest = 0.0
        self._waiting: deque[tuple[int, Process]] = deque()
        self._listed: tuple[Process, ...] = ()
        """Those of base and head that have listed."""
        self._loaded: list[Loaded | None] = [None, None]
        self._unasked = {0, 1}

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Ends the processes that got ready: the device is another's."""
        while self._waiting:
            self._waiting.popleft()[1].close()
        self._close_listed()

    @property
    def loaded(self) -> tuple[Loaded | None, Loaded | None]:
        """The code of base and head: what processes have loaded that list cases, and then, what one has that measured them."""
        return self._loaded[0], self._loaded[1]

    def listings(self) -> tuple[Listing, Listing]:
        """Of base and head, in processes of their own. Raises RunnerError."""
        processes: list[Process] = []
        try:
            for checkout in self._checkouts:
                processes.append(self._start(checkout, self._selection))
            base, head = (listed(*each) for each in zip(("base", "head"), self._checkouts, processes, strict=True))
            self._loaded = [process.loaded() for process in processes]
            self._listed, processes = tuple(processes), []
        finally:
            for process in processes:
                process.close()
        self._ahead = AHEAD[head.machine.hardware.device]
        self._wait = base.waits and head.waits
        return base, head

    def ready(self) -> tuple[Process, Process]:
        """Those of base and head that have listed, for whoever counts first what their steps do, and closes them. Asked again,
        fresh ones that no case was asked of. Those of the first pair get ready meanwhile."""
        if self._listed:
            self._fill(self._ahead)
            (base, head), self._listed = self._listed, ()
            return base, head
        self._fill(2 + self._ahead)
        fresh = dict(self._waiting.popleft() for _ in range(2))
        self._order = itertools.chain(fresh, self._order)  # or its blocks would be balanced no more
        return fresh[0], fresh[1]

    def pair(self, cases: Sequence[Case], *, profile: bool = False) -> PairResult:
        """`cases` in a fresh process of each side. Raises SelectionError where the first pair says that both have loaded one
        file for them that differs."""
        self._close_listed()
        self._selection = narrowed(self._selection, cases)  # those of later pairs load no other data
        measured: dict[int, dict[Case, Measured]] = {}
        while len(measured) < 2:
            self._fill(1 + self._ahead)
            for _, process in self._waiting if self._wait else ():
                process.prepare(cases)
            number, process = self._waiting.popleft()
            begin = time.monotonic()
            try:
                slowdown = self._checkouts[number].slowdown
                measured[number] = process.measure(cases, profile=profile, slowdown=slowdown, seconds=self._patience)
                self._ask_for_code(number, process)
            finally:
                process.close()
            if not any(isinstance(of, Failure) and of.hung for of in measured[number].values()):
                self._longest = max(self._longest, time.monotonic() - begin)
        return PairResult(base=measured[0], head=measured[1], head_first=next(iter(measured)) == 1)

    def _ask_for_code(self, number: int, process: Process) -> None:
        """Once of each side: what a step has loaded or compiled is there only now."""
        if number not in self._unasked:
            return
        if (found := loaded_after(process)) is not None:
            self._loaded[number] = found
            self._unasked.remove(number)
            check_code(self._checkouts, self.loaded)

    @property
    def _patience(self) -> float | None:
        """Seconds for a case, once it is known what a process takes for all."""
        return patience(self._longest) if self._longest else None

    def _close_listed(self) -> None:
        for process in self._listed:
            process.close()
        self._listed = ()

    def _fill(self, count: int) -> None:
        while len(self._waiting) < count:
            number = next(self._order)
            self._waiting.append((number, self._start(self._checkouts[number], self._selection)))


def _order(seed: int) -> Iterator[int]:
    """0 for base and 1 for head, without end."""
    random_ = random.Random(seed)
    while True:
        firsts = [0, 1] * (BALANCED // 2)
        random_.shuffle(firsts)
        for first in firsts:
            yield from (first, 1 - first)
