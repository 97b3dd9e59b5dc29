"""The README's picture, which has its figures in its metadata: another matplotlib would draw other pixels of the same."""

import shutil
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image

from generator.runs import DOCS, newest
from mpcore.report.page.panels import speedups
from mpcore.report.pictures import pictures

PICTURE = DOCS / "pictures" / "over-fp32.png"


def pictured() -> str:
    """The figures of the picture, as CSV. The picture has them in its metadata."""
    view = speedups({newest().machine.hardware.key: newest().results}).views[0]
    return pd.DataFrame(view.columns).to_csv(index=False)


def is_drawn() -> bool:
    """Whether the picture shows them. Another matplotlib would draw other pixels of the same figures."""
    if not PICTURE.is_file():
        return False
    with Image.open(PICTURE) as picture:
        return getattr(picture, "text", {}).get("Description") == pictured()


def draw() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = next(pictures(newest(), Path(folder)))
        shutil.copy(first, PICTURE)
