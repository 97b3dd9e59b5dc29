"""What the names of a selection stand for."""

from pathlib import Path

from mpcore.loading import NoFile, load, loaded_workloads
from mpcore.matrix.registries import is_own, registries
from mpcore.records import OWN_TRAINER, Selection
from mpcore.selection import ALL, SelectionError


def resolve(selection: Selection) -> tuple[Selection | None, dict[str, str]]:
    """What is there of the selection once its files are loaded, None where nothing is. Also a sentence for each file or name
    that is not there, by what the selection calls it. Raises SelectionError for a file that cannot be imported."""
    unknown = _load(selection)
    kept: dict[str, tuple[str, ...]] = {}
    for axis in registries():
        said = {name: _unknown(axis, name) for name in getattr(selection, axis)}
        kept[axis] = tuple(name for name, sentence in said.items() if sentence is None)
        unknown |= {f"{axis} {name}": sentence for name, sentence in said.items() if sentence is not None}
    emptied = any(getattr(selection, axis) and not names for axis, names in kept.items())
    return None if emptied else selection.model_copy(update=kept), unknown


def _load(selection: Selection) -> dict[str, str]:
    """A sentence for each file that is not there."""
    unknown = {}
    for path in selection.load:
        try:
            load(Path(path).resolve())
        except NoFile as error:
            unknown[f"load {path}"] = str(error)
    return unknown


def _unknown(axis: str, name: str) -> str | None:
    """Why nothing has this name, None where something has."""
    from mpcore.registry import UnknownName

    if name == ALL and axis not in ("executions", "strategies"):
        return None
    if axis == "precisions" and name in _own_precisions():
        return None
    try:
        registries()[axis].check([name])
    except UnknownName as error:
        return str(error)
    return None


def check(selection: Selection) -> None:
    """Loads the files of the selection; then all its names must be registered, and something be. Raises SelectionError."""
    _, unknown = resolve(selection)
    if unknown:
        raise SelectionError(next(iter(unknown.values())))
    if not (registry := registries()["workloads"]).names():
        raise SelectionError(f"there is no workload: {next(iter(registry.planned.values()))}; or bring your own with --mp-load")


def workloads_of(selection: Selection) -> list[str]:
    """Those that are named; or those that the files register which were named for this alone; or all that are neither synthetic
    nor `on_request`."""
    workloads = registries()["workloads"]
    if ALL in selection.workloads:
        return list(workloads.names())
    if own := alone(selection):
        return own
    usual = (name for name in workloads.names() if not (workloads[name].synthetic or workloads[name].on_request))
    return list(selection.workloads or usual)


def alone(selection: Selection) -> list[str]:
    """Workloads of files that were named for these alone; empty where others are named, or no such file registers one."""
    return [] if selection.workloads else loaded_workloads(selection.loaded_alone)


def precisions_of(selection: Selection, *, on_request: bool = False) -> list[str]:
    """Those that are named, or all that are not `on_request` unless these are wanted too."""
    precisions = registries()["precisions"]
    if ALL in selection.precisions:
        return list(precisions.names())
    default = (name for name in precisions.names() if on_request or not precisions[name].on_request)
    return list(selection.precisions or default)


def precisions_in(workload: str, selection: Selection) -> list[str]:
    """Those of the selection; of an own step, unless others are named, its own."""
    if is_own(workload) and (ALL in selection.precisions or not selection.precisions):
        return list(registries()["workloads"][workload].precisions)
    return precisions_of(selection)


def trainers_of(selection: Selection) -> list[str]:
    """Those that are named, or mpcore alone."""
    if ALL in selection.trainers:
        return list(registries()["trainers"].names())
    return list(selection.trainers) or [OWN_TRAINER]


def packages_of(selection: Selection) -> list[str]:
    """What its trainers are made of, whose versions are recorded."""
    trainers = registries()["trainers"]
    return [package for name in trainers_of(selection) for package in trainers[name].packages]


def _own_precisions() -> set[str]:
    """What own steps call theirs, modes of mpcore among them."""
    workloads = registries()["workloads"]
    return {precision for name in workloads.names() if is_own(name) for precision in workloads[name].precisions}
