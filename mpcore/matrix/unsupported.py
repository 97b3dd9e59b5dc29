"""Why a case cannot be measured on a device, in a sentence."""

from typing import TYPE_CHECKING, Any

from mpcore.matrix.registries import is_own, registries
from mpcore.records import OWN_TRAINER, Case

if TYPE_CHECKING:
    import torch


def unsupported(case: Case, device: "torch.device") -> str | None:
    """Why `device` cannot run it, or its trainer or its own step is not made for it; None where nothing is in the way."""
    known = registries()
    modes, execution = known["precisions"], known["executions"][case.execution]
    is_mode = case.precision in modes.names()
    if is_own(case.workload):
        if reason := _not_of_own_step(case, known["workloads"][case.workload]):
            return reason
    elif not is_mode:
        return f"{case.precision} is a precision of own steps only"
    found = [execution.unsupported(device)]
    if is_mode:
        mode = modes[case.precision]
        found += [mode.unsupported(device), mode.unsupported_by(execution, device)]
    found.append(known["trainers"][case.trainer].unsupported(case.precision, case.execution, device, case.strategy))
    if case.spread:
        found.append(_not_spread(case, device))
    return next((reason for reason in found if reason), None)


def _not_of_own_step(case: Case, entry: Any) -> str | None:
    """What is asked of a step that exists already, and it does not do."""
    name = case.workload
    if case.trainer != OWN_TRAINER:
        return f"{name} is a step that exists already: no trainer makes it"
    if case.precision not in entry.precisions:
        return f"{name} has no {case.precision}: its build() understands {', '.join(entry.precisions)}"
    if case.keep_fp32:
        return f"{name} is a step that exists already: what it keeps in FP32 its build() says"
    if case.batch_size is not None:
        return f"{name} makes its batches itself, of a size of its own"
    if case.execution not in ("eager", "graph"):
        return f"{name} is run as graph or eager: what is to be compiled, its build() compiles"
    if case.spread and not entry.distributed:
        return f"{name} is a step on one GPU: its class does not say that build() spreads it, distributed = True"
    return None


def _not_spread(case: Case, device: "torch.device") -> str | None:
    """Why a case cannot be spread as it is to be, or None."""
    import torch

    from mpcore.device import agreement

    if device.type == "cuda" and case.gpus > max(agreement.started(), torch.cuda.device_count()):  # on several hosts, perhaps
        return f"{case.gpus} GPUs are wanted, and this machine has {torch.cuda.device_count()}"
    if is_own(case.workload):
        return None
    known = registries()
    if case.trainer != OWN_TRAINER:
        found: str | None = known["trainers"][case.trainer].not_spread(case.strategy)
        return found
    optimiser = known["workloads"][case.workload].recipes[case.model_size].optimiser
    return known["strategies"][case.strategy].unsupported(known["precisions"][case.precision], optimiser, case.gpus, device)
