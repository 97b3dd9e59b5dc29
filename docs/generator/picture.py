"""Pictures of committed runs, which have their figures in their metadata: another matplotlib or browser would draw other pixels
of the same."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

from generator.runs import DOCS, as_one, newest, spread
from generator.screenshots import screenshots
from mpcore.records import Run
from mpcore.report.page.panels import speedups
from mpcore.report.page.scaling import scaling
from mpcore.report.pictures import SCALING, pictures, scaling_figures

PICTURES = DOCS / "pictures"


@dataclass(frozen=True)
class Picture:
    """figures: what it shows, as text, which the file holds as its description. write: draws it to a path."""

    path: Path
    figures: str
    write: Callable[[Path], None]

    def is_drawn(self) -> bool:
        if not self.path.is_file():
            return False
        with Image.open(self.path) as picture:
            return getattr(picture, "text", {}).get("Description") == self.figures

    def draw(self) -> None:
        self.write(self.path)


def of_run(run: Run, name: str, path: Path) -> None:
    """Writes the first picture of the run whose name begins so."""
    with tempfile.TemporaryDirectory() as folder:
        found = (made for made in pictures(run, Path(folder)) if made.name.startswith(name))
        shutil.copy(next(found), path)


def over_fp32() -> Picture:
    """The README's: speed-ups in the newest run on one GPU."""
    run = as_one(newest())
    view = speedups({run.machine.hardware.key: run.results}).views[0]
    figures = pd.DataFrame(view.columns).to_csv(index=False)
    return Picture(PICTURES / "over-fp32.png", figures, partial(of_run, run, "over-fp32"))


def several_gpus() -> Picture | None:
    """How steps scale in the run on the most GPUs; None where none is committed."""
    if (run := next(iter(spread()), None)) is None:
        return None
    figures = scaling_figures(scaling({run.machine.hardware.key: run.results}).views)
    return Picture(PICTURES / "scaling.png", figures.to_csv(index=False), partial(of_run, run, SCALING))


def all_pictures() -> list[Picture]:
    of_the_page = [Picture(PICTURES / f"{shot.panel}.png", shot.figures, shot.take) for shot in screenshots()]
    return [*(picture for picture in (over_fp32(), several_gpus()) if picture), *of_the_page]
