"""A folder of histories: `<hardware>/<time>_<commit>.json`, one small file a run. It only grows, so that copies of it merge."""

import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from mpcore.records import Run, RunFigures
from mpcore.store import KEY, RunError, first_error, read, to_run, write
from mpcore.trend.figures import figures_of


def append(folder: Path, runs: Iterable[Run]) -> list[Path]:
    """The files that were written; none for a run that the folder has. Raises RunError."""
    found = {_path(folder, figures): figures for figures in map(figures_of, runs)}
    new = {path: figures.model_dump_json() + "\n" for path, figures in found.items() if not path.exists()}
    try:
        for path in new:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    write(new)
    return list(new)


def read_figures(path: Path) -> RunFigures:
    """Those that a file holds, or those of the run that is saved in it. Raises RunError."""
    content = read(path)
    if KEY in content:
        return figures_of(to_run(path, content))
    try:
        return RunFigures.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{path}: expected the figures of a run, or a saved one: {first_error(error)}") from error


def _path(folder: Path, figures: RunFigures) -> Path:
    time = re.sub(r"\D", "", figures.datetime)[:14]
    commit = re.sub(r"\W", "", figures.commit or "")[:8] or "unversioned"
    return folder / figures.hardware / f"{time}_{commit}.json"
