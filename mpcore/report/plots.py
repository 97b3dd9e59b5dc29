"""Pictures of a run: speed-ups, confusion matrices, and what a segmentation looks like."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mpcore.records import Confusion, Quality, Run
from mpcore.report.html.panels import speedups
from mpcore.report.html.views import View


def plots(run: Run, folder: Path) -> Iterator[Path]:
    """Writes a PNG for the speed-ups over each reference, each confusion matrix and each picture of the trainings. Yields their
    paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in speedups({run.machine.hardware.key: run.results}).views:
        assert isinstance(view, View)
        yield _speedups(view, _file(folder, view.label))
    for result in run.results:
        record = result.record
        if isinstance(record, Quality):
            confusion = record.trainings[0].confusion
            if confusion is not None:
                yield _confusion(confusion, record.case.id, _file(folder, f"{record.case.id}-confusion"))
            if record.picture is not None:
                path = _file(folder, f"{record.case.id}-picture")
                path.write_bytes(base64.b64decode(record.picture))
                yield path


def _file(folder: Path, name: str) -> Path:
    """Whatever the name holds, a file of this folder."""
    return folder / (re.sub(r"[^\w.-]+", "-", name) + ".png")


def _speedups(view: View, path: Path) -> Path:
    from matplotlib.figure import Figure

    frame = pd.DataFrame(view.columns)
    wide = {name: frame.pivot(index="workload", columns="mode", values=name) for name in ("times as fast", "low", "high")}
    order = frame.workload.unique(), frame["mode"].unique()
    middle, low, high = (wide[name].loc[order[0], order[1]] for name in ("times as fast", "low", "high"))
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    bounds = [[middle[mode] - low[mode], high[mode] - middle[mode]] for mode in middle]
    middle.plot.bar(ax=axes, yerr=bounds, width=0.8, rot=0, error_kw={"elinewidth": 0.8})
    axes.axhline(1, color="grey", linestyle=":", linewidth=1)
    axes.set(title=f"speed-up {view.label}", xlabel="", ylabel="")
    axes.legend(title="", ncols=3)
    figure.savefig(path, dpi=100)
    return path


def _confusion(matrix: Confusion, title: str, path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
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
