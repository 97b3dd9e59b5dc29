"""The saved runs of a folder."""

from pathlib import Path

from mpcore.store.baselines import NO_RUNS
from mpcore.store.error import RunError


def files_in(path: Path) -> list[Path]:
    """The runs in a folder and in all folders in it, by name, or the file that it is. Raises RunError where there is none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.json"))
    files = [file for file in found if not file.name.startswith(".") and file.name not in NO_RUNS]
    if not files:
        raise RunError(f"{path} holds no run: expected a folder with the files that --benchmark-autosave wrote")
    return files
