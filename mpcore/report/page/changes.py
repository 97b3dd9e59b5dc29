"""The largest changes since accepted runs, which the page opens with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpcore.records import Regression, Result
from mpcore.report.text import counted

MOST = 5
RANKS = {"worse": 0, "better": 1, "changed": 1, "undecided": 2}
"""Of what is worth a word. Within a rank the largest change comes first."""
CLASSES = {"worse": "bad", "better": "good"}


def largest_changes(results: Mapping[str, Sequence[Result]]) -> list[dict[str, Any]]:
    """At most `MOST` changes, each with the sentence of the gate, which names the cause. One figure that changed in several
    cases of a workload is one of them, with the case that changed most. results: the newest of each case, by hardware."""
    alike: dict[tuple[str, ...], list[Regression]] = {}
    for hardware, of in results.items():
        for workload, regression in _regressions(of):
            alike.setdefault((hardware, workload, regression.metric, regression.status), []).append(regression)
    found = [(hardware, sorted(group, key=_order)) for (hardware, *_), group in alike.items()]
    found.sort(key=lambda pair: _order(pair[1][0]))
    return [_told(hardware, *group) for hardware, group in found[:MOST]]


def _regressions(results: Sequence[Result]) -> Iterator[tuple[str, Regression]]:
    """Each with its workload."""
    for result in results:
        yield from ((result.record.case.workload, r) for r in result.regressions if r.status in RANKS)


def _order(regression: Regression) -> tuple[int, float]:
    return RANKS[regression.status], -_size(regression)


def _size(regression: Regression) -> float:
    """Of a change, whichever way it goes; 0 where it has no ratio."""
    return abs(math.log(regression.ratio)) if regression.ratio else 0.0


def _told(hardware: str, regression: Regression, *others: Regression) -> dict[str, Any]:
    change = f", {100 * (regression.ratio - 1):+.1f} %" if regression.ratio else ""
    return {
        "change": f"{regression.status}{change}",
        "look": CLASSES.get(regression.status, "doubt"),
        "case": regression.case + (f", and {counted(len(others), 'case')} alike" if others else ""),
        "metric": regression.metric,
        "hardware": hardware,
        "sentence": regression.sentence,
    }
