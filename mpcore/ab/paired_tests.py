"""Pairs of fresh processes until each case is decided, or the last look is taken.

Looking after every pair would turn one false alarm in a hundred into four. So the pairs are judged twice, and the looks share
the one in a hundred. A case that is decided drops out. One that is worse is measured in fresh pairs, which must say so again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mpcore.ab.scheduler import Scheduler
from mpcore.ab.sequential_test import SequentialTest
from mpcore.ab.settled import MachineCheck
from mpcore.gate.limits import CONFIRMING_PAIRS, PAIR_LOOKS
from mpcore.records import Case, PairedCase

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PairedTests:
    """The tests of all cases that are timed. check: of the machine, measured beside them in the first pairs.
    progress: is told how far it is."""

    scheduler: Scheduler
    tests: Sequence[SequentialTest]
    check: MachineCheck
    progress: Progress

    def measure(self, keep: Callable[[], None]) -> None:
        """Once more in fresh pairs those that are blind. keep: is called after each pair."""
        self._decide(self.tests, keep)
        self._confirm(self.tests, keep)
        blind = [test for test in self.tests if test.blind()]
        self.check.again()
        cases = [*(test.case for test in blind), *self.check.asked]
        if not cases:
            return
        self.progress(f"too much cannot be excluded, and fresh pairs are measured: {_names(cases)}")
        for test in blind:
            test.again()
        self._decide(blind, keep)
        self._confirm(blind, keep)

    def record(self, test: SequentialTest, interrupted: int | None) -> PairedCase:
        """interrupted: the exit code of a comparison that was ended before its end."""
        if interrupted is None:
            return test.paired_case()
        return test.interrupted_case()

    def _decide(self, tests: Sequence[SequentialTest], keep: Callable[[], None]) -> None:
        done = min((test.count for test in tests), default=0)
        for look in PAIR_LOOKS:
            running = [test for test in tests if not test.decided()]
            if not running:
                break
            for _ in self._timed(range(done, look)):
                result = self.scheduler.pair([*(test.case for test in running), *self.check.asked])
                for test in running:
                    test.add(result, PAIR_LOOKS[0])
                self.check.add(result)
                keep()
                running = [test for test in running if not test.out]
                if not running:
                    break
            done = max(done, look)
        for _ in self._timed(range(self.check.left)):
            self.check.add(self.scheduler.pair(self.check.asked))
            keep()

    def _confirm(self, tests: Sequence[SequentialTest], keep: Callable[[], None]) -> None:
        """Those that are worse, with profiles, that say why."""
        worse = [test for test in tests if not test.out and test.status() == "worse"]
        if not worse:
            return
        self.progress(f"worse, and to be confirmed by {CONFIRMING_PAIRS} fresh pairs: {_names([test.case for test in worse])}")
        for _ in self._timed(range(CONFIRMING_PAIRS)):
            result = self.scheduler.pair([test.case for test in worse], profile=True)
            for test in worse:
                test.confirm(result)
            keep()

    def _timed(self, numbers: range) -> Iterator[int]:
        """Tells before each pair how long they will all take, once it is known of one."""
        left = ""
        for number in numbers:
            self.progress(f"pair {number + 1} of {numbers.stop}{left}")
            begin = time.monotonic()
            yield number
            seconds = round((time.monotonic() - begin) * (numbers.stop - number - 1))
            left = f", about {seconds // 60} min {seconds % 60:02d} s left"


def _names(cases: Sequence[Case]) -> str:
    return ", ".join(case.id for case in cases)
