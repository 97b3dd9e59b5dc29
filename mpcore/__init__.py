"""A performance-regression suite for mixed-precision training in PyTorch.

from mpcore import Workload, OwnStep, Precision, Variant, Trainer, register    # to bring something of one's own
from mpcore import load                                                        # saved runs as one pandas frame
"""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

C = TypeVar("C", bound=type[Any])
LAZY = {
    "Workload": "mpcore.workloads",
    "OwnStep": "mpcore.workloads",
    "Precision": "mpcore.precision",
    "Variant": "mpcore.precision",
    "Trainer": "mpcore.trainers",
}
"""Imported once they are asked for: whoever reads saved runs needs no torch."""


def load(paths: str | Path | Iterable[str | Path]) -> "pd.DataFrame":
    """Saved runs as one pandas frame, with a row for each case of each run. Needs no torch.

    paths: a file that --benchmark-autosave wrote, a folder of them, or several of either. The columns and their units stand at
    the beginning of `mpcore/report/frame.py`; a figure that was not measured is missing. Raises mpcore.store.RunError for a
    file that cannot be read as a run, and for a folder that holds none.
    """
    from mpcore.report.frame import frame
    from mpcore.store import files_in
    from mpcore.store import load as load_run

    given = [paths] if isinstance(paths, str | Path) else paths
    return frame(load_run(file) for path in given for file in files_in(Path(path)))


def register(cls: C) -> C:
    """Class decorator for a workload, a step, a mode or a trainer of one's own, which makes its name known to options. Returns
    `cls`. Raises ValueError for any other class, for a name that is taken, and where a method or an attribute is missing."""
    from mpcore.precision import precisions
    from mpcore.trainers import trainers
    from mpcore.workloads import workloads

    registries = [registry for registry in (workloads, precisions, trainers) if issubclass(cls, registry.base)]
    if not registries:
        expected = "a subclass of Workload, of OwnStep, of Precision or of Trainer"
        raise ValueError(f"{cls.__qualname__} cannot be registered: expected {expected}")
    return registries[0].register(cls)


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)


__all__ = ["OwnStep", "Precision", "Trainer", "Variant", "Workload", "load", "register"]
