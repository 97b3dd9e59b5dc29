"""What a trend says: where something changed, newest first, and what."""

import math
from collections.abc import Sequence

from mpcore.gate.limits import TREND_LEAST_RUNS
from mpcore.records import RunFigures
from mpcore.report.document import Document, Section, Table
from mpcore.report.text import counted
from mpcore.trend.figures import TOLD
from mpcore.trend.series import Change, Series

MOST = 20
"""Changes of one place that are shown: where a driver changed, all did."""
COLUMNS = ("case", "figure", "before", "after", "change", "runs since")


def trend_document(runs: Sequence[RunFigures], series: Sequence[Series], found: Sequence[Change]) -> Document:
    """A section for each place in which something changed."""
    machines = {of.hardware for of in series}
    looked = f"{counted(len(runs), 'run')} on {', '.join(sorted(machines)) or 'no machine'}, {counted(len(series), 'figure')}"
    places: dict[tuple[str, str, str], list[Change]] = {}
    for change in found:
        key = change.series.hardware, change.last_before.datetime, change.first_after.datetime
        places.setdefault(key, []).append(change)
    lead = f"{looked}: {counted(sum(map(len, places.values())), 'change')} in {counted(len(places), 'place')}"
    if not places:
        return Document("", [Section(lead=f"{looked}: {_unchanged(series)}")])
    return Document("", [Section(lead=lead), *(_section(changes) for changes in places.values())])


def _unchanged(series: Sequence[Series]) -> str:
    """Nothing is found, either, where no case has runs enough before and after."""
    least = 2 * TREND_LEAST_RUNS
    longest = max((len(each.values) for each in series), default=least)
    if longest >= least:
        return "nothing changed"
    return f"whether anything changed is not known, for no case has more than {counted(longest, 'run')}, and {least} are needed"


def _section(changes: Sequence[Change]) -> Section:
    """The largest first."""
    first = changes[0]
    title = f"{first.series.hardware}, between {first.where}"
    ordered = sorted(changes, key=lambda change: -abs(math.log(change.point.ratio)) if change.point.ratio else -math.inf)
    rows = [
        [
            change.series.case,
            TOLD.get(change.series.figure, change.series.figure),
            f"{change.point.before:.4g}",
            f"{change.point.after:.4g}",
            "-" if change.point.ratio is None else f"{100 * (change.point.ratio - 1):+.1f} %",
            str(len(change.series.values) - change.point.index),
        ]
        for change in ordered[:MOST]
    ]
    more = [f"and {counted(len(ordered) - MOST, 'smaller change')}"] if len(ordered) > MOST else []
    return Section(title, tables=[Table(list(COLUMNS), rows, "llrrrr")], sentences=more)
