"""The time of each case's step from run to run, with the band that the next one is expected in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpcore.gate import SHIPPED, change_points, expected_seconds, match_baselines
from mpcore.records import Quality, Run, Speed
from mpcore.report.page.newest import Terms, distinguished, terms_of
from mpcore.report.page.views import Panel, View, columns
from mpcore.report.text import file_name, short_commit

Series = dict[Terms, list[tuple[Run, Any]]]
"""The runs that measured a case, apart where it was on other terms."""


def history(runs: Sequence[Run]) -> Panel:
    """A view for each case on each machine, of its step's time and, where it was trained, of its score."""
    kinds: dict[type, dict[tuple[str, str], Series]] = {Speed: {}, Quality: {}}
    for run in sorted(runs, key=lambda run: run.datetime):
        for record in (result.record for result in run.results if type(result.record) in kinds):
            series = kinds[type(record)].setdefault((record.case.id, run.machine.hardware.key), {})
            series.setdefault(terms_of(record), []).append((run, record))
    views = [_time(where, found) for where, found in _labelled(kinds[Speed])]
    views += [_score(where, found) for where, found in _labelled(kinds[Quality])]
    note = (
        "Run by run, not from zero. Diamonds are accepted runs. The band is where these expect the next run, 99 % to each "
        "side, given how far machine starts differ. There is none without accepted runs, and none for steps that Python "
        "launches on a GPU. Dotted lines stand where a figure changed and stayed so, between the commits that are named."
    )
    return Panel("history", "History", note, views)


def _labelled(cases: Mapping[tuple[str, str], Series]) -> Iterator[tuple[str, list[tuple[Run, Any]]]]:
    for (case, hardware), of in sorted(cases.items()):
        for terms, found in of.items():
            yield f"{case} on {hardware}{distinguished(terms, list(of))}", found


def _time(where: str, found: Sequence[tuple[Run, Speed]]) -> View:
    accepted = match_baselines(found[-1][1], [run for run, _ in found if run.accepted]).accepted.values()
    calibration = SHIPPED.get(found[-1][0].machine.hardware.key)
    band = expected_seconds([old for old in accepted if isinstance(old, Speed)], calibration) if accepted else None
    rows = [{**_of(run), "step ms": 1e3 * speed.blocks.step_seconds} for run, speed in found]
    names = ["measured", "run", "commit", "accepted", "step ms"]
    if band:
        rows = [row | {"expected from": 1e3 * band.low, "expected to": 1e3 * band.high} for row in rows]
        names += ["expected from", "expected to"]
    edge = {"x": "@measured", "mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    edges = [edge | {"y": f"@{name}"} for name in names[5:]]  # which the axis reaches to
    across = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "opacity": 0.15, "line": {"width": 0}}
    shapes = [across | {"y0": 1e3 * band.low, "y1": 1e3 * band.high}] if band else []
    view = _view("step time", where, columns(rows, names), "step ms", edges)
    return _marked(view, rows, "step ms", shapes)


def _score(where: str, found: Sequence[tuple[Run, Quality]]) -> View:
    last = found[-1][1]
    name, times = (last.metric, 1) if last.lower_is_better else (f"{last.metric} %", 100)
    rows = [{**_of(run), name: times * quality.mean(last.metric)} for run, quality in found]
    view = _view(last.metric, where, columns(rows, ["measured", "run", "commit", "accepted", name]), name, [])
    return _marked(view, rows, name, [])


def _marked(view: View, rows: Sequence[Mapping[str, Any]], figure: str, shapes: Sequence[Mapping[str, Any]]) -> View:
    """With a line where the figure changed and stayed so, between the run before it and the first after it."""
    known = [row for row in rows if math.isfinite(row[figure])]
    lines, names = [], []
    for point in change_points([row[figure] for row in known]):
        before, after = known[point.index - 1], known[point.index]
        change = "" if point.ratio is None else f"{100 * (point.ratio - 1):+.1f} % "
        lines.append(
            {"type": "line", "xref": "x", "yref": "paper", "x0": after["measured"], "x1": after["measured"], "y0": 0, "y1": 1}
            | {"line": {"dash": "dot", "width": 1}}
        )
        names.append(
            {"x": after["measured"], "y": 1, "yref": "paper", "xanchor": "left", "showarrow": False}
            | {"text": f"{change}{before['commit']} to {after['commit']}"}
        )
    return replace(view, layout={**view.layout, "shapes": [*shapes, *lines], "annotations": names})


def _view(what: str, where: str, table: dict[str, list[Any]], figure: str, edges: Sequence[dict[str, Any]]) -> View:
    line = {"name": "runs", "mode": "lines+markers", "x": "@measured", "y": f"@{figure}", "text": "@run"}
    diamonds = {
        "name": "accepted",
        "mode": "markers",
        "where": ["accepted", "yes"],
        "x": "@measured",
        "y": f"@{figure}",
        "marker": {"symbol": "diamond", "size": 11},
    }
    marked = [diamonds] if "yes" in table["accepted"] else []
    layout = {
        "yaxis": {"title": {"text": figure}, "rangemode": "normal"},  # what differs is a per cent
        "xaxis": {"type": "date", "tickformat": "%Y-%m-%d<br>%H:%M"},
    }
    return View(f"{what} of {where}", table, [*edges, line, *marked], layout)


def _of(run: Run) -> dict[str, Any]:
    return {
        "measured": run.datetime[:19],
        "run": file_name(run),
        "commit": short_commit(run),
        "accepted": "yes" if run.accepted else "no",
    }
