"""The accepted runs: `baselines/<hardware>/NNNN_<commit>.json`, numbered in the order in which they were accepted."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpcore.records import AnyRecord, Hardware, Run
from mpcore.store.calibrations import CALIBRATION
from mpcore.store.error import RunError
from mpcore.store.files import load
from mpcore.store.reset import since_reset
from mpcore.store.sensitivities import SENSITIVITY

NAME = re.compile(r"(\d{4,})_\w+\.json")
MEMORY_TOLERANCE = 0.02
"""A driver keeps a little of the memory for itself, another version of it another little."""
POWER_TOLERANCE = 0.001
NO_RUNS = (CALIBRATION, SENSITIVITY)
"""Files that stand beside the accepted runs of a machine."""


def accepted(folder: Path, hardware: Hardware) -> list[Run]:
    """The accepted runs for this machine, oldest first; none where `folder` holds nothing for it.

    Raises RunError for a folder or a file that cannot be read or holds no baseline. Also for one from a machine that cannot be
    compared with this one.
    """
    runs = _read(folder / hardware.key)
    for run in runs:
        if reason := comparable(run.machine.hardware, hardware):
            raise RunError(f"{run.path}: its machine cannot be compared with this one: {reason}")
    return runs


def all_accepted(folder: Path) -> dict[str, list[Run]]:
    """The accepted runs of each machine, by its folder, oldest first. Raises RunError."""
    try:
        folders = [path for path in _entries(folder) if path.is_dir() or (path.is_symlink() and not path.is_file())]
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror}") from error
    return {path.name: runs for path in folders if (runs := _read(path))}


def accepted_last(runs: Sequence[Run]) -> list[Run]:
    """What was accepted last of each case and kind of test. What was reset is left out, and older versions of a workload. runs:
    oldest first. Those that hold some of it come with that alone, the newest first."""
    found: list[Run] = []
    told: set[tuple[str, ...]] = set()
    versions: dict[str, int] = {}
    for run in reversed(since_reset(runs)):
        for result in run.results:
            versions.setdefault(result.record.case.workload, result.record.workload_version)
        own = [r for r in run.results if r.record.identity not in told and _of_version(r.record, versions)]
        if own:
            found.append(run.model_copy(update={"results": tuple(own)}))
        told |= {result.record.identity for result in run.results}
    return found


def _of_version(record: AnyRecord, versions: Mapping[str, int]) -> bool:
    return record.workload_version == versions[record.case.workload]


def check_folder(folder: Path) -> None:
    """Raises RunError for the folder of one machine, in place of the one above it."""
    for path in _entries(folder):
        if NAME.fullmatch(path.name) and path.is_file():
            raise RunError(f"{folder} itself holds accepted runs, such as {path.name}: expected the folder above it")


def comparable(a: Hardware, b: Hardware) -> str | None:
    """Why figures of these two machines cannot be compared, None where they can."""
    if a.key != b.key:
        return f"{a.key} is not {b.key}"
    if _differ(a.memory_bytes, b.memory_bytes, MEMORY_TOLERANCE):
        return f"{_figure(a.memory_bytes, 2**30, 'GiB')} of memory is not {_figure(b.memory_bytes, 2**30, 'GiB')}"
    if not a.portable and _differ(a.power_limit_watts, b.power_limit_watts, POWER_TOLERANCE):
        return f"a power limit of {_figure(a.power_limit_watts, 1, 'W')} is not {_figure(b.power_limit_watts, 1, 'W')}"
    return None


def number(run: Run) -> int:
    """Raises RunError where its file has another name than a baseline's."""
    name = NAME.fullmatch(Path(run.path).name)
    if name is None:
        raise RunError(f"{run.path} is no name of a baseline: expected one such as 0001_0123abcd.json")
    return int(name[1])


def _read(folder: Path) -> list[Run]:
    runs = [_baseline(path) for path in _entries(folder) if path.suffix == ".json" and path.name not in NO_RUNS]
    seen: dict[tuple[str, str | None], str] = {}
    for run in runs:
        key = run.machine.hardware.key
        if key != folder.name:
            raise RunError(f"{run.path}: a run on {key} in the folder of {folder.name}")
        if reason := comparable(run.machine.hardware, runs[0].machine.hardware):
            raise RunError(f"{run.path}: its machine cannot be compared with the one in {runs[0].path}: {reason}")
        if (other := seen.setdefault((run.datetime, run.commit), run.path)) != run.path:
            raise RunError(f"{run.path} is the run that {other} is, too: remove one of them")
    return sorted(runs, key=_order)


def _order(run: Run) -> tuple[int, str]:
    """Two branches that were merged may each have accepted one of the same number."""
    return number(run), run.accepted.datetime if run.accepted else ""


def _baseline(path: Path) -> Run:
    run = load(path)
    number(run)
    if not run.results:
        raise RunError(f"{path}: it has no results: nothing could be compared with it")
    if run.accepted is None:
        raise RunError(f"{path}: nobody has accepted it: 'mpcore.accepted' is missing; python -m mpcore accept writes it")
    return run


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise RunError(f"cannot read {folder}: it is a link to {folder.readlink()}, which is not there") from error
        return []
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror}") from error


def _differ(a: float | None, b: float | None, tolerance: float) -> bool:
    """What is not known of one machine only is not known to be the same."""
    if a is None or b is None:
        return a is not b
    return abs(a - b) > tolerance * max(a, b)


def _figure(value: float | None, unit: float, name: str) -> str:
    return f"an unknown number of {name}" if value is None else f"{value / unit:.0f} {name}"
