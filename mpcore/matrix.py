"""The matrix of cases that a selection names, and where they are measured. Imports torch only once it is asked."""

import functools
import itertools
import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mpcore.loading import NoFile, load
from mpcore.records import OWN_TRAINER, Case, Selection, Size
from mpcore.selection import ALL, SelectionError

USUAL_GPUS = (2, 4, 8)
"""For which names of cases are known before any is selected."""

if TYPE_CHECKING:
    import torch

    from mpcore.data import Source


def resolve(selection: Selection) -> tuple[Selection | None, dict[str, str]]:
    """What is there of the selection once its files are loaded, None where nothing is; and a sentence for each file or name
    that is not, by what the selection calls it. Raises SelectionError for a file that cannot be imported."""
    from mpcore.registry import UnknownName

    unknown = {}
    for path in selection.load:
        try:
            load(Path(path).resolve())
        except NoFile as error:
            unknown[f"load {path}"] = str(error)
    kept: dict[str, tuple[str, ...]] = {}
    for axis, registry in _registries().items():
        kept[axis] = ()
        for name in getattr(selection, axis):
            try:
                if axis != "precisions" or name not in _own_precisions():
                    registry.check([name] if name != ALL or axis in ("executions", "strategies") else [])
                kept[axis] += (name,)
            except UnknownName as error:
                unknown[f"{axis} {name}"] = str(error)
    emptied = any(getattr(selection, axis) and not names for axis, names in kept.items())
    return None if emptied else selection.model_copy(update=kept), unknown


def check(selection: Selection) -> None:
    """Loads the files of the selection; then all its names must be registered, and something be. Raises SelectionError."""
    _, unknown = resolve(selection)
    if unknown:
        raise SelectionError(next(iter(unknown.values())))
    if not (registry := _registries()["workloads"]).names():
        raise SelectionError(f"there is no workload: {next(iter(registry.planned.values()))}; or bring your own with --mp-load")


def cases(
    selection: Selection,
    device: "torch.device",
    workloads: Sequence[str] | None = None,
    *,
    compiled: Container[str] | None = None,
) -> Iterator[tuple[Case, str | None]]:
    """Every selected case, with the reason where `device` cannot run it; of `workloads`, where they are given. compiled:
    the modes that may be compiled, too, where no execution is named; None for any."""
    size = size_of(selection, device)
    wanted = workloads_of(selection) if workloads is None else workloads
    for gpus, workload in itertools.product(selection.gpus or (1,), wanted):  # one launch of ranks after the other
        axes = itertools.product(
            selection.batch_sizes or (_usual_batch(workload, size, device),),
            _strategies_of(workload, gpus, selection),
            _made_and_run(workload, selection, device, compiled=compiled if gpus == 1 else ()),
        )
        for batch_size, strategy, (trainer, execution, precision) in axes:
            case = Case(
                workload=workload,
                precision=precision,
                trainer=trainer,
                execution=execution,
                strategy=strategy,
                gpus=gpus,
                size=size,
                batch_size=batch_size,
                keep_fp32=selection.keep_fp32,
            )
            yield case, _unsupported(case, device)


def _unsupported(case: Case, device: "torch.device") -> str | None:
    """Why `device` cannot run it, or its trainer or its own step is not made for it."""
    from mpcore.workloads import OwnStep

    registries = _registries()
    entry, precisions = registries["workloads"][case.workload], registries["precisions"]
    if issubclass(entry, OwnStep):
        if case.trainer != OWN_TRAINER:
            return f"{case.workload} is a step that exists already: no trainer makes it"
        if case.precision not in entry.precisions:
            return f"{case.workload} has no {case.precision}: its build() understands {', '.join(entry.precisions)}"
        if case.keep_fp32:
            return f"{case.workload} is a step that exists already: what it keeps in FP32 its build() says"
        if case.batch_size is not None:
            return f"{case.workload} makes its batches itself, of a size of its own"
        if case.execution not in ("eager", "graph"):
            return f"{case.workload} is run as graph or eager: what is to be compiled, its build() compiles"
        if case.spread and not entry.distributed:
            return f"{case.workload} is a step on one GPU: its class does not say that build() spreads it, distributed = True"
    elif case.precision not in precisions.names():
        return f"{case.precision} is a precision of own steps only"
    execution = registries["executions"][case.execution]
    found = [execution.unsupported(device)]
    if case.precision in precisions.names():
        mode = precisions[case.precision]
        found += [mode.unsupported(device), mode.unsupported_by(execution, device)]
    found.append(registries["trainers"][case.trainer].unsupported(case.precision, case.execution, device))
    if case.spread:
        found.append(_not_spread(case, entry, device))
    return next((reason for reason in found if reason), None)


def _not_spread(case: Case, entry: Any, device: "torch.device") -> str | None:
    """Why a case cannot be spread as it is to be, or None."""
    import torch

    from mpcore.workloads import OwnStep

    started = int(os.environ.get("WORLD_SIZE", "0"))  # by torchrun, perhaps on several hosts
    if device.type == "cuda" and case.gpus > max(started, torch.cuda.device_count()):
        return f"{case.gpus} GPUs are wanted, and this machine has {torch.cuda.device_count()}"
    if issubclass(entry, OwnStep):
        return None
    registries = _registries()
    if case.trainer != OWN_TRAINER:
        return f"{registries['trainers'][case.trainer].called()} does not say how its step is spread over GPUs"
    optimiser = entry.recipes[case.model_size].optimiser
    return registries["strategies"][case.strategy].unsupported(
        registries["precisions"][case.precision], optimiser, case.gpus, device
    )


def _strategies_of(workload: str, gpus: int, selection: Selection) -> Sequence[str]:
    """How its step is spread over so many GPUs: those of the selection; of an own step, as its author does it."""
    from mpcore.workloads import OwnStep

    if gpus == 1:
        return ("single",)
    if issubclass(_registries()["workloads"][workload], OwnStep):
        return ("own",)
    return selection.strategies or ("ddp",)


def _made_and_run(
    workload: str, selection: Selection, device: "torch.device", *, compiled: Container[str] | None
) -> Iterator[tuple[str, str, str]]:
    """By which trainers, how each is executed, and in which modes. What another trainer makes is run as it runs it, unless it
    is said how."""
    precisions, size = _precisions_in(workload, selection), size_of(selection, device)
    for trainer in trainers_of(selection):
        usual = _usual_execution(workload, size, device) if trainer == OWN_TRAINER else "eager"
        for execution in selection.executions or (usual,):
            yield from ((trainer, execution, precision) for precision in precisions)
        if not selection.executions and trainer == OWN_TRAINER:
            modes = _compiled(workload, precisions, size, device)
            yield from ((trainer, "compile", mode) for mode in modes if compiled is None or mode in compiled)


def _compiled(workload: str, precisions: Sequence[str], size: Size, device: "torch.device") -> list[str]:
    """The modes in which it is measured compiled beside its usual execution: those that say so, on a GPU of a data centre. What
    a user has brought may take any time to compile, and is compiled on request."""
    from mpcore.device.machine import in_data_centre

    registries = _registries()
    if size != "full" or not _shipped(registries["workloads"][workload]) or not in_data_centre(device):
        return []
    modes = {name: registries["precisions"][name] for name in precisions}
    return [name for name, mode in modes.items() if mode.compiled and _shipped(mode)]


def _shipped(entry: type) -> bool:
    """Whether it is one of mpcore's own."""
    return entry.__module__.split(".")[0] == __name__.split(".")[0]


def _precisions_in(workload: str, selection: Selection) -> list[str]:
    """Those of the selection; of an own step, unless others are named, its own."""
    from mpcore.workloads import OwnStep

    entry = _registries()["workloads"][workload]
    if issubclass(entry, OwnStep) and (ALL in selection.precisions or not selection.precisions):
        return list(entry.precisions)
    return precisions_of(selection)


@functools.cache
def _usual_execution(workload: str, size: Size, device: "torch.device") -> str:
    """Where none is named. What is wrong with an own step is said when it is measured."""
    from mpcore.precision import Inapplicable
    from mpcore.training.script import usual_execution
    from mpcore.workloads import OwnStep, WorkloadError

    entry = _registries()["workloads"][workload]
    if device.type != "cuda":
        return "eager"
    if not issubclass(entry, OwnStep):
        return "graph"
    if entry.distributed:  # which cannot be built where there is no process group
        return str(entry.execution)
    try:
        return usual_execution(entry("full" if size == "fit" else size), device)
    except (WorkloadError, Inapplicable):
        return "eager"


def _usual_batch(workload: str, size: Size, device: "torch.device") -> int | None:
    """Where none is named: None for that of the recipe."""
    from mpcore.device.machine import memory_class

    return _fitting_batch(workload, memory_class(device)) if size == "fit" else None


def _fitting_batch(workload: str, memory_class: int) -> int | None:
    """On a GPU of this class of memory; None for an own step, which makes its batches itself."""
    from mpcore.workloads import OwnStep

    entry = _registries()["workloads"][workload]
    return None if issubclass(entry, OwnStep) else int(entry.fitting_batch(memory_class))


def _own_precisions() -> set[str]:
    """What own steps call theirs, modes of mpcore among them."""
    from mpcore.workloads import OwnStep

    workloads = _registries()["workloads"]
    own = (entry for name in workloads.names() if issubclass(entry := workloads[name], OwnStep))
    return {precision for entry in own for precision in entry.precisions}


def possible() -> Iterator[str]:
    """The names of all cases that can be selected, in batches of the workload's own size or that fit some GPU, and on the usual
    numbers of GPUs."""
    from mpcore.device.machine import MEMORY_CLASSES

    registries = _registries()
    spreads = list(itertools.product([name for name in registries["strategies"].names() if name != "single"], USUAL_GPUS))
    for workload in registries["workloads"].names():
        names = [_precisions_in(workload, Selection(precisions=(ALL,)))]
        names += [registries[axis].names() for axis in ("trainers", "executions")]
        for precision, trainer, execution, size in itertools.product(*names, get_args(Size)):
            batches = {_fitting_batch(workload, gib) for gib in MEMORY_CLASSES} if size == "fit" else {None}
            case = Case(workload=workload, precision=precision, trainer=trainer, execution=execution, size=size)
            yield from (case.model_copy(update={"batch_size": batch}).id for batch in batches)
            for strategy, gpus in spreads if trainer == OWN_TRAINER else ():
                yield case.model_copy(update={"strategy": strategy, "gpus": gpus}).id


def workloads_of(selection: Selection) -> list[str]:
    """Those that are named, or all that are neither synthetic nor `on_request`."""
    workloads = _registries()["workloads"]
    if ALL in selection.workloads:
        return workloads.names()
    usual = (name for name in workloads.names() if not (workloads[name].synthetic or workloads[name].on_request))
    return list(selection.workloads or usual)


def precisions_of(selection: Selection, *, on_request: bool = False) -> list[str]:
    """Those that are named, or all that are not `on_request` unless these are wanted too."""
    precisions = _registries()["precisions"]
    if ALL in selection.precisions:
        return precisions.names()
    default = (name for name in precisions.names() if on_request or not precisions[name].on_request)
    return list(selection.precisions or default)


def trainers_of(selection: Selection) -> list[str]:
    """Those that are named, or mpcore alone."""
    if ALL in selection.trainers:
        return _registries()["trainers"].names()
    return list(selection.trainers) or [OWN_TRAINER]


def packages_of(selection: Selection) -> list[str]:
    """What its trainers are made of, whose versions are recorded."""
    trainers = _registries()["trainers"]
    return [package for name in trainers_of(selection) for package in trainers[name].packages]


def size_of(selection: Selection, device: "torch.device") -> Size:
    return selection.size or ("full" if device.type == "cuda" else "tiny")


def source_of(selection: Selection) -> "Source":
    """Where data come from. Raises SelectionError."""
    from mpcore.data import DataError, Source

    try:
        return Source(selection.data or os.environ.get("MPCORE_DATA") or "embedded")
    except DataError as error:
        raise SelectionError(str(error)) from error


def device_of(selection: Selection) -> "torch.device":
    """Raises SelectionError for a device that this machine does not have, or that nothing is measured on."""
    import torch

    from mpcore.device.machine import default_device, refused

    name = selection.device
    if reason := refused(name):
        raise SelectionError(reason)
    try:
        device = torch.device(name) if name else default_device()
    except RuntimeError as error:
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>") from error
    if selection.size == "fit" and device.type == "cpu":
        raise SelectionError("--mp-size fit: expected a GPU, whose memory chooses the batch; on a CPU tiny or full")
    if device.type not in ("cpu", "cuda"):
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SelectionError(f"--mp-device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def _registries() -> dict[str, Any]:
    """By the field of a Selection that names what is in it."""
    from mpcore.execution import executions
    from mpcore.precision import precisions
    from mpcore.strategies import strategies
    from mpcore.trainers import trainers
    from mpcore.workloads import workloads

    return {
        "workloads": workloads,
        "precisions": precisions,
        "trainers": trainers,
        "executions": executions,
        "strategies": strategies,
    }
