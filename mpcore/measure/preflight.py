"""What is wrong with the data, the weights or the steps of cases is said before anything is trained."""

from collections.abc import Sequence

import torch

from mpcore.data import DataError
from mpcore.execution import Eager
from mpcore.measure.errors import lacks_memory
from mpcore.measure.memory import free_memory
from mpcore.measure.setups import BATCHES, CPU, Setups
from mpcore.precision import Inapplicable
from mpcore.precision.casting import matching
from mpcore.records import Case
from mpcore.workloads import OwnStep, Workload
from mpcore.workloads.checked import WorkloadError, check_last_batch, checked_model


def check_cases(setups: Setups, cases: Sequence[Case]) -> None:
    """Loads data and weights of each workload among the cases, once, and builds its model where that is tiny. Raises DataError,
    WorkloadError."""
    by_entry = {case.in_precision(""): case for case in reversed(cases)}
    for case in reversed(by_entry.values()):
        entry = setups.entry(case, pretrained=True)
        if case.workload in setups.checkpoints and not entry.reads_checkpoint:
            raise DataError(f"{case.workload} reads no pretrained weights: expected no checkpoint for it")
        if isinstance(entry, OwnStep):
            _check_own_step(setups, case.in_precision(entry.reference))
        else:
            _check_workload(setups, case)


def _check_workload(setups: Setups, case: Case) -> None:
    workload = setups.workload(case, pretrained=True)
    _check_rows(workload, setups.source.where)
    check_last_batch(workload)
    _check_kept(case, workload)
    if case.workload in setups.checkpoints or case.model_size == "tiny":  # a full one takes long to build
        checked_model(workload)


def _check_rows(workload: Workload, where: str) -> None:
    rows = {name: len(workload.split(name, CPU)) for name in ("train", "test")}
    if rows["train"] < BATCHES * workload.recipe.batch_size:
        raise DataError(
            f"{workload.name} has {rows['train']} samples to train in {where!r}: "
            f"expected at least {BATCHES} batches of {workload.recipe.batch_size}"
        )


def _check_kept(case: Case, workload: Workload) -> None:
    patterns = [*workload.keep_fp32, *case.keep_fp32]
    if patterns:
        try:
            matching(checked_model(workload), patterns)
        except ValueError as error:
            raise WorkloadError(f"{workload.name}: {error}") from error


def _check_own_step(setups: Setups, case: Case) -> None:
    """One step of it, eager. What this device cannot do is said of each case."""
    setup = setups.of(case.model_copy(update={"execution": Eager.name}))
    try:
        step = setup.build()
        step(step.batches[0])
        del step
    except (Inapplicable, WorkloadError, torch.cuda.OutOfMemoryError) as error:
        if not (isinstance(error, Inapplicable) or lacks_memory(error)):
            raise
    free_memory()
