"""The panels of the page: pure functions from results to what is plotted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from mpcore.gate import speedup
from mpcore.records import Family, Numerics, Profile, Quality, Race, Result, Speed, Training
from mpcore.report.page.newest import Group
from mpcore.report.page.views import Matrix, Panel, View, by, columns
from mpcore.report.rows import how, keys
from mpcore.report.sections.races import heading, mean_ratio, races_by_mode

REFERENCES = ("fp32", "tf32")
SEEN = 0.01
"""Share of a step."""
LOG = {"type": "log", "exponentformat": "power"}


def speedups(results: Mapping[str, Sequence[Result]]) -> Panel:
    """A view for each machine and reference, in which workloads stand side by side."""
    views = []
    for hardware, of in sorted(results.items()):
        for reference in REFERENCES:
            rows = [row for result in of if (row := _speedup(result, reference))]
            if rows:
                table = columns(rows, ["workload", "mode", "times as fast", "low", "high"])
                bars = by("mode", table, type="bar", x="@workload", y="@times as fast", bounds=["low", "high"])
                one = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "line": {"dash": "dot"}}]
                layout = {"yaxis": {"title": {"text": f"times as fast as {reference}"}}, "barmode": "group", "shapes": one}
                views.append(View(f"over {reference} on {hardware}", table, bars, layout))
    note = (
        "How many times as fast as the reference a step is, with 99 % intervals. A bar short of the dotted line is slower. "
        "Of a workload the newest version is drawn; what older runs have of another stands among the cases."
    )
    return Panel("speed-up", "Speed-up", note, views)


def _speedup(result: Result, reference: str) -> dict[str, Any] | None:
    speed = result.record
    interval = speedup(speed, reference) if isinstance(speed, Speed) else None
    if interval is None:
        return None
    case = result.record.case
    unusual = [] if case.execution == "graph" and case.batch_size is None else [how(keys(case)), str(case.batch_size or "")]
    name = ", ".join(filter(None, [case.workload, *unusual]))
    bounds = {"times as fast": interval.centre, "low": interval.low, "high": interval.high}
    return {"workload": name, "mode": case.precision, **bounds}


def races(results: Mapping[str, Sequence[Result]]) -> Panel:
    """A view for each machine and mode of the others, in which workloads stand side by side."""
    views = []
    for hardware, of in sorted(results.items()):
        for mode, found in races_by_mode(of).items():
            table = columns([row for race in found for row in _steps(race)], ["workload", "step", "ms"])
            bars = by("step", table, type="bar", x="@workload", y="@ms")
            layout = {"yaxis": {"title": {"text": "ms a step"}, **LOG}, "barmode": "group"}
            mean = mean_ratio(race.fastest for race in found)
            views.append(View(f"{mode} on {hardware}: {mean} times as fast as the fastest other", table, bars, layout))
    note = (
        "A step by each trainer and execution, timed alone. In parentheses: how many times as fast our fastest is as the "
        "fastest other, in turns. Beside the machine stands the geometric mean of these."
    )
    return Panel("races", "Beside other trainers", note, views)


def _steps(race: Race) -> list[dict[str, Any]]:
    name = f"{race.case.workload} ({race.fastest.ratio:.2f})" if race.fastest else race.case.workload
    return [
        {"workload": name, "step": heading(entrant), "ms": 1e3 * entrant.blocks.step_seconds}
        for entrant in (*race.theirs, *race.ours)
    ]


def memory(groups: Sequence[Group]) -> Panel:
    views = []
    for group in groups:
        speeds = [s for s in group.records(Speed) if s.peak_allocated_bytes]
        rows = [
            {"mode": s.case.precision, "GiB": (s.peak_allocated_bytes or 0) / 2**30, f"{s.unit}/s": s.units_per_second}
            for s in speeds
        ]
        if rows:
            unit = f"{speeds[0].unit}/s"
            table = columns(rows, ["mode", "GiB", unit])
            points = by("mode", table, mode="markers", x="@GiB", y=f"@{unit}", marker={"size": 12})
            layout = {"xaxis": {"title": {"text": "GiB"}, "rangemode": "tozero"}, "yaxis": {"title": {"text": unit}}}
            views.append(View(group.label, table, points, layout))
    note = "What a step reaches and the most memory that an eager step takes: the upper left is the best place."
    return Panel("memory", "Throughput against memory", note, views)


def launches(groups: Sequence[Group]) -> Panel:
    views = _bars(groups, _launched, "how", "step ms", {"barmode": "group"})
    note = "The same step launched operation by operation, and replayed as one CUDA graph: the difference is Python's."
    return Panel("launches", "Launch overhead", note, views)


def _launched(group: Group) -> list[dict[str, Any]]:
    return [
        {"mode": s.case.precision, "how": how, "step ms": 1e3 * blocks.step_seconds}
        for s in group.records(Speed)
        if s.eager
        for how, blocks in (("launched by Python", s.eager), ("as a graph", s.blocks))
    ]


def kernels(groups: Sequence[Group]) -> Panel:
    views = _bars(groups, _spent, "kernels", "step ms", {"barmode": "stack"})
    by_name = [replace(view, traces=sorted(view.traces, key=itemgetter("name"))) for view in views]
    note = (
        "Where a step spends its time, by what its kernels compute and the width of the numbers that they read and write. "
        "A family keeps its hue: light in 16 bits, dark in 32."
    )
    return Panel("kernels", "Kernels", note, by_name)


def _spent(group: Group) -> list[dict[str, Any]]:
    return [
        {"mode": s.case.precision, "kernels": _named(f), "step ms": 1e3 * f.seconds, "launches": f.count}
        for s in group.records(Speed)
        if s.profile
        for f in _large(s.profile)
    ]


def _large(profile: Profile) -> list[Family]:
    """Families of kernels, those that take too little to be seen as one."""
    large = [f for f in profile.families if f.seconds >= SEEN * profile.seconds]
    small = [f for f in profile.families if f.seconds < SEEN * profile.seconds]
    count, seconds = sum(f.count for f in small), sum(f.seconds for f in small)
    return [*large, Family(name="all else", bits=None, count=count, seconds=seconds)] if small else large


def _named(family: Family) -> str:
    return f"{family.name}, {family.bits} bits" if family.bits else family.name


def errors(groups: Sequence[Group]) -> Panel:
    views = _bars(groups, _wrong, "of", "relative error", {"barmode": "group", "yaxis": LOG})
    note = "Against the same step in FP64, from the same weights on one batch. A bar that is missing was not finite."
    return Panel("errors", "Errors against FP64", note, views)


def _wrong(group: Group) -> list[dict[str, Any]]:
    return [
        {"mode": n.case.precision, "of": name, "relative error": error}
        for n in group.records(Numerics)
        for name, error in (("loss", n.loss_error), ("gradient", n.gradient_error), ("20 updates", n.update_error))
    ]


def tensors(groups: Sequence[Group]) -> Panel:
    views = []
    for group in groups:
        rows = [row for numerics in group.records(Numerics) for row in _by_tensor(numerics)]
        if rows:
            table = columns(rows, list(rows[0]))
            points = by("mode", table, mode="lines+markers", x="@place", y="@relative error", text="@tensor")
            layout = {"xaxis": {"title": {"text": "from input to loss"}}, "yaxis": LOG | {"title": {"text": "relative error"}}}
            views.append(View(group.label, table, points, layout))
    note = (
        "Of the gradient of each weight against FP64, in the order of the forward pass. What rises from the loss to the input "
        "is rounding that adds up; what stands out is a layer. Weights with no gradient but rounding are left out."
    )
    return Panel("tensors", "Errors by layer", note, views)


def _by_tensor(numerics: Numerics) -> list[dict[str, Any]]:
    return [
        {
            "mode": numerics.case.precision,
            "place": place,
            "tensor": tensor.where,
            "relative error": tensor.gradient_error,
            "at most": tensor.gradient_limit,
            "of its updates": tensor.update_error,
            "share of the gradient's norm": tensor.norm_share,
        }
        for place, tensor in enumerate(numerics.tensors or (), 1)
        if tensor.gradient_error is not None
    ]


def _bars(
    groups: Sequence[Group],
    rows_of: Callable[[Group], Sequence[Mapping[str, Any]]],
    series: str,
    figure: str,
    layout: Mapping[str, Any],
) -> list[View]:
    """A view for each group that has rows: a bar for each mode and value of `series`, as long as `figure`."""
    views = []
    for group in groups:
        if rows := rows_of(group):
            table = columns(rows, list(rows[0]))
            bars = by(series, table, type="bar", x="@mode", y=f"@{figure}")
            axis = {**layout.get("yaxis", {}), "title": {"text": figure}}
            views.append(View(group.label, table, bars, {**layout, "yaxis": axis}))
    return views


def curves(groups: Sequence[Group]) -> Panel:
    views = []
    for group in groups:
        for name, axis in (("loss", {}), ("loss scale", LOG)):
            rows = [row for quality in group.records(Quality) for row in _curve(quality, name)]
            if rows:
                table = columns(rows, ["mode", "step", name])
                lines = by("mode", table, mode="lines", x="@step", y=f"@{name}")
                layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": axis | {"title": {"text": name}}}
                views.append(View(f"{name}: {group.label}", table, lines, layout))
    note = "Of the first seed's training. The scale is halved by an overflow, whose step is skipped, and doubled in time."
    return Panel("trainings", "Trainings", note, views)


def _curve(quality: Quality, name: str) -> list[dict[str, Any]]:
    training: Training = quality.trainings[0]
    values = training.losses if name == "loss" else training.loss_scales
    return [
        {"mode": quality.case.precision, "step": min((i + 1) * training.steps_per_point, training.steps), name: value}
        for i, value in enumerate(values)
    ]


def confusions(groups: Sequence[Group]) -> Panel:
    views = [
        Matrix(f"{quality.case.precision}: {group.label}", matrix)
        for group in groups
        for quality in group.records(Quality)
        if (matrix := quality.trainings[0].confusion)
    ]
    return Panel("confusions", "Confusion matrices", "Of the first seed's training: rows are true, columns predicted.", views)
