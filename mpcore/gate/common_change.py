"""What all cases of a run share: the machine, the driver, or a change to all."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from mpcore.gate.clocks import Clocks, clocks_of
from mpcore.gate.intervals import judged_since
from mpcore.gate.limits import COMMON_CHANGE_CASES
from mpcore.gate.margins import Margins
from mpcore.gate.matching import BaselineMatch
from mpcore.gate.priors import prior_log_sd, shared_prior_log_sd
from mpcore.gate.regressions import as_ratio, bounds, how_run, percent, reported_only, runs
from mpcore.records import ALL_CASES, Calibration, Regression, Speed


def common_change(matches: Sequence[BaselineMatch], margins: Margins, calibration: Calibration | None) -> Regression | None:
    """What all graphs share: the median change of their step times, taken once for each accepted run that has four of them at
    least. None where none has. calibration: of the kind of GPU; without one it is only reported."""
    graphs = [found for match in matches if (found := _graph(match))]
    changes: dict[int, list[float]] = {}
    for graph in graphs:
        for number, of_graph in graph.changes.items():
            changes.setdefault(number, []).append(of_graph)
    of_runs = {number: of_run for number, of_run in changes.items() if len(of_run) >= COMMON_CHANGE_CASES}
    if not of_runs:
        return None
    clocks = _shared_clocks(graphs, list(of_runs))
    shared = [math.exp(-statistics.median(of_run)) for of_run in of_runs.values()]
    margin = margins.common_time
    of_cases = [
        prior_log_sd(graph.accepted, calibration, graph.new, at_one_clock=bool(clocks and graph.clocks)) for graph in graphs
    ]
    prior = shared_prior_log_sd(of_cases, calibration)
    change, status = judged_since(shared, 1.0, prior, margin, clocks=clocks)
    at = " at one clock" if clocks else ""
    sentence = (
        f"steps of all {max(map(len, of_runs.values()))} cases take {percent(change.centre)}{at} from {runs(len(shared))}, "
        f"{bounds(change, margin)}"
    )
    if status in ("worse", "better"):
        sentence += ". It is the machine, the driver, or a change to all"
    if calibration is None:
        status, sentence = reported_only(status, sentence)
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


class _Graph(NamedTuple):
    """A case that is one graph: what accepted runs have of it, and its change from each of them, in logarithms."""

    new: Speed
    accepted: list[Speed]
    changes: dict[int, float]
    clocks: dict[int, float]
    """How much faster the clock of each run was than the new one's, in logarithms, where they differ."""


def _shared_clocks(graphs: Sequence[_Graph], numbers: Sequence[int]) -> Clocks | None:
    """Where the clocks of most graphs differ, they differ together."""
    of_graphs = [graph.clocks for graph in graphs if graph.clocks]
    if 2 * len(of_graphs) <= len(graphs):
        return None
    of_runs = [[clocks[number] for clocks in of_graphs if number in clocks] for number in numbers]
    return Clocks(tuple(map(statistics.median, of_runs)), 0.0) if all(of_runs) else None


def _graph(match: BaselineMatch) -> _Graph | None:
    record = match.record
    accepted = {number: old for number, old in match.accepted.items() if isinstance(old, Speed)}
    if not accepted or not isinstance(record, Speed) or how_run(record) != "graph":
        return None
    now = record.blocks.least_step_seconds
    changes = {number: math.log(now / old.blocks.least_step_seconds) for number, old in accepted.items()}
    clocks = clocks_of(list(accepted.values()), record)
    faster = {number: clock - clocks.new for number, clock in zip(accepted, clocks.accepted, strict=True)} if clocks else {}
    return _Graph(record, list(accepted.values()), changes, faster)
