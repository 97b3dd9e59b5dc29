"""Pictures of committed runs, which have their figures in their metadata: another matplotlib would draw other pixels of the
same."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from generator.runs import DOCS, newest, spread
from mpcore.records import Run
from mpcore.report.page.panels import scaling, speedups
from mpcore.report.pictures import SCALING, pictures, scaling_figures

PICTURES = DOCS / "pictures"


@dataclass(frozen=True)
class Picture:
    """The first of the run whose name begins so. figures: what it shows, as CSV."""

    path: Path
    run: Run
    name: str
    figures: str

    def is_drawn(self) -> bool:
        if not self.path.is_file():
            return False
        with Image.open(self.path) as picture:
            return getattr(picture, "text", {}).get("Description") == self.figures

    def draw(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = (path for path in pictures(self.run, Path(folder)) if path.name.startswith(self.name))
            shutil.copy(next(found), self.path)


def over_fp32() -> Picture:
    """The README's: speed-ups in the newest run on one GPU."""
    run = newest()
    view = speedups({run.machine.hardware.key: run.results}).views[0]
    return Picture(PICTURES / "over-fp32.png", run, "over-fp32", pd.DataFrame(view.columns).to_csv(index=False))


def several_gpus() -> Picture | None:
    """How steps scale in the newest run on several GPUs; None where none is committed."""
    if (run := spread()) is None:
        return None
    figures = scaling_figures(scaling({run.machine.hardware.key: run.results}).views)
    return Picture(PICTURES / "scaling.png", run, SCALING, figures.to_csv(index=False))


def all_pictures() -> list[Picture]:
    return [picture for picture in (over_fp32(), several_gpus()) if picture]
