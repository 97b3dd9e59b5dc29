"""What all cases of a run share: the machine, the driver, or a change to all."""

import math
import statistics
from collections.abc import Sequence

from mpcore.gate.intervals import judged_since
from mpcore.gate.limits import COMMON_CHANGE_CASES, MACHINE_PRIOR_LOG_SD
from mpcore.gate.margins import Margins
from mpcore.gate.matching import BaselineMatch
from mpcore.gate.regressions import as_ratio, bounds, how_run, percent, runs
from mpcore.records import ALL_CASES, Regression, Speed


def common_change(matches: Sequence[BaselineMatch], margins: Margins) -> Regression | None:
    """What all graphs share: the median change of their step times, taken once for each accepted run that has four of them at
    least. None where none has."""
    changes: dict[int, list[float]] = {}
    for match in matches:
        for number, found in _changes(match).items():
            changes.setdefault(number, []).append(found)
    of_runs = [of_run for of_run in changes.values() if len(of_run) >= COMMON_CHANGE_CASES]
    margin = margins.time("graph")
    if not of_runs or margin is None:
        return None
    shared = [math.exp(-statistics.median(of_run)) for of_run in of_runs]
    change, status = judged_since(shared, 1.0, MACHINE_PRIOR_LOG_SD["graph"], margin)
    sentence = (
        f"steps of all {max(map(len, of_runs))} cases take {percent(change.centre)} from {runs(len(shared))}, "
        f"{bounds(change, margin)}"
    )
    if status in ("worse", "better"):
        sentence += ": the machine, the driver, or a change to all"
    return Regression(
        kind="speed",
        case=ALL_CASES,
        metric="step time",
        status=status,
        value=math.exp(change.centre),
        limit=math.exp(margin),
        sentence=sentence,
        **as_ratio(change),
    )


def _changes(match: BaselineMatch) -> dict[int, float]:
    """The change of a graph's step time from each accepted run, in logarithms."""
    record = match.record
    if not isinstance(record, Speed) or how_run(record) != "graph":
        return {}
    now = record.blocks.step_seconds
    return {n: math.log(now / old.blocks.step_seconds) for n, old in match.accepted.items() if isinstance(old, Speed)}
