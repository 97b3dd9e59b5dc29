"""Cases: the product of what a selection names and what it leaves open."""

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from mpcore.matrix.place import size_of
from mpcore.matrix.registries import registries
from mpcore.matrix.selected import precisions_in, trainers_of, workloads_of
from mpcore.matrix.unsupported import unsupported
from mpcore.matrix.usual import compiled_besides, fitting_batch, strategies_of, usual_batch, usual_execution
from mpcore.records import OWN_TRAINER, Case, Selection, Size
from mpcore.selection import ALL

USUAL_GPUS = (2, 4, 8)
"""For which names of cases are known before any is selected."""

if TYPE_CHECKING:
    import torch


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
            selection.batch_sizes or (usual_batch(workload, size, device),),
            strategies_of(workload, gpus, selection),
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
            yield case, unsupported(case, device)


def _made_and_run(
    workload: str, selection: Selection, device: "torch.device", *, compiled: Container[str] | None
) -> Iterator[tuple[str, str, str]]:
    """By which trainers, how each is executed, and in which modes. What another trainer makes is run as it runs it, unless it
    is said how."""
    precisions, size = precisions_in(workload, selection), size_of(selection, device)
    for trainer in trainers_of(selection):
        for execution in selection.executions or _usual(workload, trainer, size, device):
            yield from ((trainer, execution, precision) for precision in precisions)
        if not selection.executions and trainer == OWN_TRAINER:
            modes = compiled_besides(workload, precisions, size, device)
            yield from ((trainer, "compile", mode) for mode in modes if compiled is None or mode in compiled)


def _usual(workload: str, trainer: str, size: Size, device: "torch.device") -> tuple[str, ...]:
    return (usual_execution(workload, size, device) if trainer == OWN_TRAINER else "eager",)


def possible() -> Iterator[str]:
    """The names of all cases that can be selected. Batches are of the workload's own size or fit some GPU, and numbers of GPUs
    are the usual ones."""
    known = registries()
    spreads = list(itertools.product([name for name in known["strategies"].names() if name != "single"], USUAL_GPUS))
    for workload in known["workloads"].names():
        names = [precisions_in(workload, Selection(precisions=(ALL,)))]
        names += [known[axis].names() for axis in ("trainers", "executions")]
        for precision, trainer, execution, size in itertools.product(*names, get_args(Size)):
            case = Case(workload=workload, precision=precision, trainer=trainer, execution=execution, size=size)
            for each in (case.model_copy(update={"batch_size": batch}) for batch in _batches(workload, size)):
                yield each.id
                for strategy, gpus in spreads:
                    if trainer == OWN_TRAINER or strategy in known["trainers"][trainer].strategies:
                        yield each.model_copy(update={"strategy": strategy, "gpus": gpus}).id


def _batches(workload: str, size: Size) -> set[int | None]:
    """None stands for the batch of the recipe."""
    from mpcore.device.machine import MEMORY_CLASSES

    return {fitting_batch(workload, gib) for gib in MEMORY_CLASSES} if size == "fit" else {None}
