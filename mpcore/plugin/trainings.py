"""Trainings of a session that do not decide whether accuracy is lost, and what is trained besides to decide it."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence

from mpcore.gate import Judge, needs_seeds
from mpcore.gate.limits import ACCURACY_LOOKS
from mpcore.measure import CASE_ERRORS, Bench
from mpcore.parallel.bench import LaunchedBench
from mpcore.precision import Inapplicable
from mpcore.records import Case, Cost, Result


class Trainings:
    """By `bench`, and judged by `judge`. Ranks are launched for each test, and keep no training for a later one."""

    def __init__(self, bench: Bench | LaunchedBench, judge: Judge) -> None:
        self._bench = bench
        self._judge = judge
        self._moved: defaultdict[Case, float] = defaultdict(float)
        """Seconds of trainings that were made before their tests: more for their cases, less for the one whose test it was."""

    def decided(self, result: Result, before: Sequence[Result], later: Sequence[Case]) -> Result:
        """With the spread of the modes in `later`, which are trained anyway; then from more seeds, while it does not decide."""
        case = result.record.case
        ahead = self._ahead(case, later) if isinstance(self._bench, Bench) else []
        known = [*before, *ahead]
        result = self._judge.judge(result.record, known)
        for rounds in range(2, ACCURACY_LOOKS + 1):
            if not needs_seeds(result):
                break
            result = self._judge.judge(self._bench.accuracy(case, rounds), known)
        return result.model_copy(update={"pooled": tuple(other.record.name for other in ahead)})

    def cost(self, case: Case, paid: Cost) -> Cost:
        """What `case` took. paid: what its test took."""
        return paid.model_copy(update={"seconds": max(0.0, paid.seconds + self._moved.pop(case, 0.0))})

    def _ahead(self, case: Case, later: Sequence[Case]) -> list[Result]:
        """What cannot be trained is left to its test."""
        found: list[Result] = []
        for other in later:
            start = time.perf_counter()
            with contextlib.suppress(*CASE_ERRORS, Inapplicable):
                if self._bench.emulated(other) is None:  # or its test is skipped
                    found.append(Result(record=self._bench.accuracy(other)))
            seconds = time.perf_counter() - start
            self._moved[other] += seconds
            self._moved[case] -= seconds
        return found
