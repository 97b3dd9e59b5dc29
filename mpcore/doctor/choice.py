"""The tests of most worth within a time.

First comes the speed of each workload in FP32, TF32 and under autocast, which shows whether mixed precision is still faster.
Then come its errors, then what it does, then whole trainings. Those modes come before others, and compiled cases last. Where
two are worth the same, the quicker comes first, so that the most are measured.
"""

import math
from collections.abc import Collection, Container, Iterable
from typing import NamedTuple

from mpcore.doctor.estimates import Estimates
from mpcore.records import Case
from mpcore.report.alike import joined

KINDS = ("speed", "numerics", "work", "accuracy")
"""By falling worth."""
FIRST = ("fp32", "tf32", "fp16-amp", "bf16-amp")


class Planned(NamedTuple):
    """A test of a case."""

    kind: str
    case: Case


def chosen(tests: Iterable[Planned], estimates: Estimates, minutes: float) -> dict[Planned, float]:
    """With the seconds that each will take, together not above `minutes`. What no accepted run tells counts as usual. Trainings
    differ too much for that, and are left out. What a step does is counted while it is timed. Alone that would take as long."""
    left, found = 60 * minutes, {}
    seconds = {test: expected_seconds(test, estimates) for test in tests}
    for test in sorted(seconds, key=lambda test: (_step(test), seconds[test])):
        if seconds[test] <= left and (_timed(test) in found or _alone(test, seconds)):
            found[test] = seconds[test]
            left -= seconds[test]
    return found


def least_minutes(tests: Collection[Planned], estimates: Estimates) -> float:
    """Within which one of them is chosen; infinite where no accepted run tells what any takes."""
    return min(expected_seconds(test, estimates) for test in tests if _alone(test, tests)) / 60


def expected_seconds(test: Planned, estimates: Estimates) -> float:
    known = estimates.seconds(test.kind, test.case)
    if known is None:
        return math.inf if test.kind == "accuracy" else estimates.usual_seconds(test.kind, test.case)
    return known


def untold_trainings(tests: Iterable[Planned], estimates: Estimates) -> str:
    """The workloads that are trained for a time that no accepted run tells, in words; "" where there is none."""
    untold = [case.workload for kind, case in tests if kind == "accuracy" and estimates.seconds(kind, case) is None]
    return joined(list(dict.fromkeys(untold))) if untold else ""


def _alone(test: Planned, tests: Container[Planned]) -> bool:
    """Whether it is chosen without another: what a step does where its time is not among the tests, and all else."""
    return test.kind != "work" or _timed(test) not in tests


def _timed(test: Planned) -> Planned:
    return test._replace(kind="speed")


def _step(test: Planned) -> int:
    kind = KINDS.index(test.kind) if test.kind in KINDS else len(KINDS)
    return kind + (test.case.precision not in FIRST) + 2 * (test.case.execution == "compile")
