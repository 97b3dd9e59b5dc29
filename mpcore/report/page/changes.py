"""The largest changes since accepted runs, which the page opens with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpcore.records import Regression, Result

MOST = 5
RANKS = {"worse": 0, "better": 1, "changed": 1, "undecided": 2}
"""Of what is worth a word. Within a rank the largest change comes first."""
CLASSES = {"worse": "bad", "better": "good"}


def largest_changes(results: Mapping[str, Sequence[Result]]) -> list[dict[str, Any]]:
    """At most `MOST` changes, each with the sentence of the gate, which names the cause. results: the newest of each case, by
    hardware."""
    found = [(hardware, regression) for hardware, of in results.items() for regression in _regressions(of)]
    found.sort(key=lambda pair: (RANKS[pair[1].status], -_size(pair[1])))
    return [_told(hardware, regression) for hardware, regression in found[:MOST]]


def _regressions(results: Sequence[Result]) -> Iterator[Regression]:
    for result in results:
        yield from (regression for regression in result.regressions if regression.status in RANKS)


def _size(regression: Regression) -> float:
    """Of a change, whichever way it goes; 0 where it has no ratio."""
    return abs(math.log(regression.ratio)) if regression.ratio else 0.0


def _told(hardware: str, regression: Regression) -> dict[str, Any]:
    change = f", {100 * (regression.ratio - 1):+.1f} %" if regression.ratio else ""
    return {
        "change": f"{regression.status}{change}",
        "look": CLASSES.get(regression.status, "doubt"),
        "case": regression.case,
        "metric": regression.metric,
        "hardware": hardware,
        "sentence": regression.sentence,
    }
