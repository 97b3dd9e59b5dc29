"""Fresh processes in pairs, of base and of head, one after the other: the next get ready while one measures."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mpcore.ab.sides import Side
from mpcore.records import Case, Listing, Selection
from mpcore.runner import Measured, Runner, RunnerError

BALANCED = 6
"""In so many pairs in a row head comes first in half of them."""
AHEAD = {"cuda": 2, "cpu": 1}
"""Processes that get ready while one measures: on a GPU it takes them longer to import than to measure a few cases, and they
disturb less."""


class Process(Protocol):
    """What a Runner does."""

    def listing(self) -> Listing: ...

    def measure(self, cases: Sequence[Case], *, profile: bool = False, handicap: float = 1.0) -> dict[Case, Measured]: ...

    def close(self) -> None: ...


Start = Callable[[Side, Selection], Process]


def start(side: Side, selection: Selection) -> Runner:
    return Runner(side.tree, selection, side.python)


@dataclass(frozen=True)
class Turn:
    """What the two processes of a pair answered, by case."""

    base: dict[Case, Measured]
    head: dict[Case, Measured]
    head_first: bool


class Relay:
    """The order within each pair is random and balanced, from a seed. Close it, or use it in a `with`."""

    def __init__(self, base: Side, head: Side, selection: Selection, *, seed: int, start: Start) -> None:
        self._sides = base, head
        self._selection = selection
        self._start = start
        self._order = _order(seed)
        self._ahead = AHEAD["cpu"]
        self._waiting: deque[tuple[int, Process]] = deque()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        while self._waiting:
            self._waiting.popleft()[1].close()

    def listings(self) -> tuple[Listing, Listing]:
        """Of base and head, in processes of their own. Raises RunnerError."""
        self._fill(1)
        processes: list[Process] = []
        try:
            for side in self._sides:
                processes.append(self._start(side, self._selection))
            base, head = (_listing(*each) for each in zip(("base", "head"), self._sides, processes, strict=True))
        finally:
            for process in processes:
                process.close()
        self._ahead = AHEAD[head.machine.hardware.device]
        return base, head

    def pair(self, cases: Sequence[Case], *, profile: bool = False) -> Turn:
        """`cases` in a fresh process of each side."""
        answers: dict[int, dict[Case, Measured]] = {}
        while len(answers) < 2:
            self._fill(1 + self._ahead)
            number, process = self._waiting.popleft()
            try:
                answers[number] = process.measure(cases, profile=profile, handicap=self._sides[number].handicap)
            finally:
                process.close()
        return Turn(base=answers[0], head=answers[1], head_first=next(iter(answers)) == 1)

    def _fill(self, count: int) -> None:
        while len(self._waiting) < count:
            number = next(self._order)
            self._waiting.append((number, self._start(self._sides[number], self._selection)))


def _order(seed: int) -> Iterator[int]:
    """0 for base and 1 for head, without end."""
    random_ = random.Random(seed)
    while True:
        firsts = [0, 1] * (BALANCED // 2)
        random_.shuffle(firsts)
        for first in firsts:
            yield from (first, 1 - first)


def _listing(name: str, side: Side, process: Process) -> Listing:
    try:
        return process.listing()
    except RunnerError as error:
        raise RunnerError(f"{name} ({side.name}) cannot be measured: {error}") from error
