"""Pictures of a run: confusion matrices, and what a segmentation looks like."""

import base64
from collections.abc import Iterator
from pathlib import Path

from mpcore.records import Confusion, Quality, Run


def plots(run: Run, folder: Path) -> Iterator[Path]:
    """Writes a PNG for each confusion matrix and each picture of the trainings, and yields their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in run.results:
        record = result.record
        if isinstance(record, Quality):
            confusion = record.trainings[0].confusion
            if confusion is not None:
                yield _confusion(confusion, record.case.id, folder / f"{record.case.id}-confusion.png")
            if record.picture is not None:
                path = folder / f"{record.case.id}-picture.png"
                path.write_bytes(base64.b64decode(record.picture))
                yield path


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
