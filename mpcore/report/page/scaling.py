"""The panel of steps on several GPUs."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from mpcore.records import OWN_TRAINER, Result, Speed
from mpcore.report.page.views import Panel, View, by, columns
from mpcore.report.scaling import Scaled, scaled

FROM_0 = {"rangemode": "tozero"}


def scaling(results: Mapping[str, Sequence[Result]]) -> Panel:
    """A view for each machine and workload: GPUs against throughput, and where all would be if none cost anything."""
    views = []
    for hardware, of in sorted(results.items()):
        found = scaled(of)
        for workload in dict.fromkeys(each.speed.case.workload for each in found):
            steps = sorted((s for s in found if s.speed.case.workload == workload), key=lambda step: step.speed.case.gpus)
            table = columns([*_lines(steps), *_ideal(steps)], ["GPUs", "a second", "step", "batch of each"])
            drawn = by("step", table, mode="lines+markers", x="@GPUs", y="@a second")
            unit = f"{steps[0].speed.unit}/s"
            axes = {"xaxis": {"title": {"text": "GPUs"}, **FROM_0}, "yaxis": {"title": {"text": unit}, **FROM_0}}
            views.append(View(f"{workload} on {hardware}", table, drawn, axes))
    note = "Throughput of all GPUs together. Ideal: the throughput of one GPU times their number, with the batch of each."
    return Panel("scaling", "Several GPUs", note, views)


def _lines(steps: Sequence[Scaled]) -> list[dict[str, Any]]:
    """Each begins on one GPU, where its step was measured there."""
    spread = sorted((step for step in steps if step.speed.case.spread), key=_name)  # which keeps the order of their GPUs
    lines = {name: list(of) for name, of in groupby(spread, key=_name)}
    return [
        _point(speed, name)
        for name, of in lines.items()
        for speed in (*filter(None, [_one(of[0])]), *(step.speed for step in of))
    ]


def _point(speed: Speed, line: str) -> dict[str, Any]:
    return {"GPUs": speed.case.gpus, "a second": speed.units_per_second, "step": line, "batch of each": speed.batch_size}


def _one(step: Scaled) -> Speed | None:
    return step.weak if step.speed.case.batch_size is None else step.strong


def _name(step: Scaled) -> str:
    """Strong scaling, whose batch shrinks as GPUs are added, is a line of its own."""
    speed = step.speed
    own = "" if speed.case.batch_size is None else f", {speed.batch_size * speed.case.gpus} in all"
    return f"{speed.case.precision} {speed.case.strategy} {speed.case.execution}{_by(speed)}{own}"


def _by(speed: Speed) -> str:
    return "" if speed.case.trainer == OWN_TRAINER else f" by {speed.case.trainer}"


def _ideal_of(speed: Speed) -> str:
    """One GPU with another batch has a line of its own."""
    batch = "" if speed.case.batch_size is None else f", {speed.batch_size} each"
    return f"ideal {speed.case.precision} {speed.case.execution}{_by(speed)}{batch}"


def _ideal(steps: Sequence[Scaled]) -> list[dict[str, Any]]:
    most = max(step.speed.case.gpus for step in steps)
    return [
        _point(step.speed, _ideal_of(step.speed)) | {"GPUs": gpus, "a second": gpus * step.speed.units_per_second}
        for step in steps
        if not step.speed.case.spread
        for gpus in (1, most)
    ]
