"""A performance-regression suite for mixed-precision training in PyTorch."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(paths: str | Path | Iterable[str | Path]) -> "pd.DataFrame":
    """Saved runs as one pandas frame, a row for each case of each run; its columns, with their units, stand at the beginning of
    `mpcore/report/rows.py`. Raises mpcore.store.RunError for a file that is no run."""
    from mpcore.report.rows import frame
    from mpcore.store import load as run

    return frame(run(path) for path in ([paths] if isinstance(paths, str | Path) else paths))
