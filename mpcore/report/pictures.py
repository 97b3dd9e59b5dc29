"""Pictures of a run: speed-ups, how steps scale over GPUs, confusion matrices, and what a segmentation looks like. They need
matplotlib."""

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mpcore.records import Confusion, Quality, Run
from mpcore.report.page.panels import speedups
from mpcore.report.page.scaling import scaling
from mpcore.report.page.views import Matrix, View
from mpcore.store import RunError

SCALING = "several-gpus"
"""What the name of its picture begins with."""


def pictures(run: Run, folder: Path) -> Iterator[Path]:
    """Writes a PNG for the speed-ups over each reference, and one for all steps on several GPUs. Each confusion matrix and
    picture of the trainings has one, too. Yields their paths. Raises RunError without matplotlib, and OSError where the
    folder cannot be written to."""
    figure = _figure_class()
    folder.mkdir(parents=True, exist_ok=True)
    for view in speedups({run.machine.hardware.key: run.results}).views:
        assert isinstance(view, View)
        yield _speedups(figure, view, _file(folder, view.label))
    if views := scaling({run.machine.hardware.key: run.results}).views:
        yield _scaling(figure, views, _file(folder, f"{SCALING}-on-{run.machine.hardware.key}"))
    for result in run.results:
        if isinstance(result.record, Quality):
            yield from _trained(figure, result.record, folder)


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise RunError("pictures are drawn by matplotlib, which is not installed: pip install 'mpcore[plots]'") from error
    return Figure


def _file(folder: Path, name: str) -> Path:
    """Whatever the name holds, a file of this folder."""
    return folder / (re.sub(r"[^\w.-]+", "-", name) + ".png")


def _speedups(figure_class: Any, view: View, path: Path) -> Path:
    """Bars of the modes side by side for each workload, with their intervals. The file holds its figures as CSV."""
    frame = pd.DataFrame(view.columns)
    wide = {name: frame.pivot(index="workload", columns="mode", values=name) for name in ("times as fast", "low", "high")}
    middle, low, high = (wide[name].loc[frame.workload.unique(), frame["mode"].unique()] for name in wide)
    figure = figure_class(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    bounds = [[middle[mode] - low[mode], high[mode] - middle[mode]] for mode in middle]
    middle.plot.bar(ax=axes, yerr=bounds, width=0.8, rot=0, error_kw={"elinewidth": 0.8})
    axes.axhline(1, color="grey", linestyle=":", linewidth=1)
    axes.set(title=f"speed-up {view.label}", xlabel="", ylabel="")
    axes.legend(title="", ncols=3)
    figure.savefig(path, dpi=100, metadata={"Description": frame.to_csv(index=False)})
    return path


def _scaling(figure_class: Any, views: Sequence[View | Matrix], path: Path) -> Path:
    """A plot for each workload: GPUs against throughput, a line for each step, dotted where none of it would be lost. The file
    holds its figures as CSV."""
    figure = figure_class(figsize=(5 * len(views), 4), layout="constrained")
    figures = scaling_figures(views)
    for number, view in enumerate(views, 1):
        assert isinstance(view, View)
        frame = figures[figures["plot"] == view.label]
        axes = figure.add_subplot(1, len(views), number)
        for name, step in frame.groupby("step", sort=False):
            ideal = {"linestyle": ":", "color": "grey"} if str(name).startswith("ideal ") else {"marker": "o"}
            axes.plot(step["GPUs"], step["a second"], label=name, **ideal)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xticks(sorted(frame["GPUs"].unique()), sorted(frame["GPUs"].unique()))
        axes.set(title=view.label, xlabel="GPUs", ylabel=view.layout["yaxis"]["title"]["text"])
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=100, metadata={"Description": figures.to_csv(index=False)})
    return path


def scaling_figures(views: Sequence[View | Matrix]) -> pd.DataFrame:
    """Those that are drawn, with the label of their plot."""
    return pd.concat([pd.DataFrame(view.columns).assign(plot=view.label) for view in views if isinstance(view, View)])


def _trained(figure_class: Any, quality: Quality, folder: Path) -> Iterator[Path]:
    confusion = quality.trainings[0].confusion
    if confusion is not None:
        yield _confusion(figure_class, confusion, quality.case.id, _file(folder, f"{quality.case.id}-confusion"))
    if quality.picture is not None:
        path = _file(folder, f"{quality.case.id}-picture")
        path.write_bytes(base64.b64decode(quality.picture))
        yield path


def _confusion(figure_class: Any, matrix: Confusion, title: str, path: Path) -> Path:
    figure = figure_class(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(matrix, cmap="Blues")
    most = max(max(row) for row in matrix)
    for true, row in enumerate(matrix):
        for predicted, count in enumerate(row):
            colour = "white" if count > most / 2 else "black"
            axes.text(predicted, true, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title=title, xlabel="predicted", ylabel="true", xticks=range(len(matrix)), yticks=range(len(matrix)))
    axes.title.set_fontsize(8)
    figure.savefig(path, dpi=150)
    return path
