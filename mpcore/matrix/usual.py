"""What a selection leaves open: in which batches a case is measured, how its step is run, and how it is spread."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpcore.matrix.registries import is_own, registries
from mpcore.records import OWN_STRATEGY, Selection, Size

if TYPE_CHECKING:
    import torch


def strategies_of(workload: str, gpus: int, selection: Selection) -> Sequence[str]:
    """How its step is spread over so many GPUs: those of the selection; of an own step, as its author does it."""
    if gpus == 1:
        return ("single",)
    return (OWN_STRATEGY,) if is_own(workload) else selection.strategies or ("ddp",)


def usual_batch(workload: str, size: Size, device: "torch.device") -> int | None:
    """Where none is named. None stands for the batch of the recipe."""
    from mpcore.device.machine import memory_class

    return fitting_batch(workload, memory_class(device)) if size == "fit" else None


def fitting_batch(workload: str, memory_class: int) -> int | None:
    """On a GPU of this class of memory, in GiB; None for an own step, which makes its batches itself."""
    return None if is_own(workload) else int(registries()["workloads"][workload].fitting_batch(memory_class))


@functools.cache
def usual_execution(workload: str, size: Size, device: "torch.device") -> str:
    """Where none is named. An own step is built for that, on the device. What is wrong with it is said when it is measured."""
    import torch

    from mpcore.precision import Inapplicable
    from mpcore.training import script
    from mpcore.workloads import WorkloadError

    entry = registries()["workloads"][workload]
    if device.type != "cuda":
        return "eager"
    if not is_own(workload):
        return "graph"
    if entry.distributed:  # which cannot be built where there is no process group
        return str(entry.execution)
    try:
        return script.usual_execution(entry("full" if size == "fit" else size), device)
    except (WorkloadError, Inapplicable, torch.cuda.OutOfMemoryError):
        return "eager"


def compiled_besides(workload: str, precisions: Sequence[str], size: Size, device: "torch.device") -> list[str]:
    """The modes in which it is measured compiled beside its usual execution: those that say so, on a GPU of a data centre. What
    a user has brought may take any time to compile, and is compiled on request."""
    from mpcore.device.machine import in_data_centre

    if size != "full" or not _shipped(registries()["workloads"][workload]) or not in_data_centre(device):
        return []
    modes = {name: registries()["precisions"][name] for name in precisions}
    return [name for name, mode in modes.items() if mode.compiled and _shipped(mode)]


def _shipped(entry: type) -> bool:
    """Whether it is one of mpcore's own."""
    return entry.__module__.split(".")[0] == __name__.split(".")[0]
