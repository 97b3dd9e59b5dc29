"""Eager times, over all that is known of them: they differ from one machine start to another, and one of them says little."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mpcore.gate import match_baselines
from mpcore.records import Result, Run, Speed


class Range(NamedTuple):
    """Formatted as its two ends, "34.4-56.5", or as one figure where they look alike."""

    low: float
    high: float

    def __format__(self, form: str) -> str:
        return "-".join(dict.fromkeys(format(end, form) for end in self))


def eager_ranges(results: Iterable[Result], accepted: Sequence[Run]) -> dict[str, Range]:
    """By case, the eager milliseconds of `results` and of accepted runs that can be compared with them."""
    found = {}
    for record in (result.record for result in results):
        if isinstance(record, Speed) and record.eager:
            speeds = [record, *match_baselines(record, accepted).accepted.values()]
            times = [1e3 * speed.eager.step_seconds for speed in speeds if isinstance(speed, Speed) and speed.eager]
            found[record.case.id] = Range(min(times), max(times))
    return found
