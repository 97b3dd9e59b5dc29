"""What a step does, counted in one eager step at learning rate 0, and the kernels that its execution launches."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves  # private API

from mpcore.data import mapped
from mpcore.device.compilations import Compilations
from mpcore.device.dispatch import Dispatch, short
from mpcore.device.profiler import profiled
from mpcore.device.storage import bytes_of
from mpcore.execution.graph import warm_up_calls
from mpcore.kernels.names import short as short_kernel
from mpcore.measure.memory import free_everything
from mpcore.measure.setup import Setup, TimingSetup
from mpcore.precision import precisions
from mpcore.records import Compilation, Profile, Work
from mpcore.records.work import compressed
from mpcore.trainers import trainers
from mpcore.training.base import Step
from mpcore.workloads import OwnStep, WorkloadError


def measure_work(setup: TimingSetup) -> Work:
    """Of a case whose speed is not measured."""
    free_everything()
    step = setup.build()
    batch = setup.batches_of(step)[0]
    step.set_rate(0.0)
    on_gpu = setup.device.type == "cuda"
    with Compilations() as compilations:
        found = dispatched(step, batch)
        compilations.note_unasked()
        check_format(setup, found)
        if on_gpu or setup.compiles:
            for _ in range(warm_up_calls() + 1):  # a graph has been captured then
                step(batch)
    profile = profiled(partial(step, batch), setup.device) if on_gpu and not step.graph_contents else None
    return work_of(setup, step, found, profile, compilations.found(asked=setup.compiles))


def dispatched(step: Step, batch: Any) -> Dispatch:
    """What the second of two eager steps dispatches: the first makes the optimiser's state."""
    batch = mapped(batch, Tensor.clone)  # on a CPU a view, which would keep the whole data set
    step.launch(batch)
    with Dispatch(model_of(step), [step.device.type]) as found:
        step.launch(batch)
    return found


def check_format(setup: Setup, found: Dispatch) -> None:
    """Raises WorkloadError for an own step that computes nothing in the format that its precision is named for. A library may
    fall back in silence, and a script forget to cast."""
    name = setup.case.precision
    if not isinstance(setup.workload, OwnStep) or name not in precisions.names() or not found.flops:
        return
    mode = precisions[name]
    expected = {short(mode.dtype)} if mode.low_precision_share else {"float32", "tf32", short(mode.dtype)}
    if not expected & found.flops.keys():
        made = f"{setup.case.workload}: what build({name!r}) made computes its products in {' and '.join(sorted(found.flops))}"
        raise WorkloadError(f"{made}: expected some in {short(mode.dtype)}, or a precision of another name")


def work_of(setup: Setup, step: Step, found: Dispatch, profile: Profile | None, compilation: Compilation | None = None) -> Work:
    """profile: of a step on a GPU, as its execution runs it, for where no graph can be read. compilation: where anything of it
    is compiled."""
    contents, known = step.graph_contents, "weights" in step.capabilities
    states = [list(optimiser.state.values()) for optimiser in step.optimisers]
    return Work(
        **setup.fields,
        software=trainers[setup.case.trainer].versions() | _software(setup.device),
        operations=compressed(found.operations),
        flops_by_dtype=dict(found.flops),
        casts=found.casts,
        cast_bytes=found.cast_bytes,
        saved_bytes=found.saved_bytes,
        synchronisations=tuple(found.synchronisations),
        parameter_bytes=bytes_of(_parameters_of(step)),
        gradient_bytes=bytes_of(step.gradients().values()) if known else 0,
        optimiser_bytes=bytes_of(value for value in tree_leaves(states) if isinstance(value, Tensor)),
        kernels=contents.kernels if contents else _launches(profile),
        graph_signature=contents.signature if contents else None,
        compiled=compilation and compilation.counts,
    )


def model_of(step: Step) -> nn.Module:
    """One that has nothing but its weights where nobody knows it: then no operation has a module."""
    if "model" in step.capabilities:
        return step.model
    alone = nn.Module()
    for number, weight in enumerate(step.weights().values() if "weights" in step.capabilities else ()):
        if isinstance(weight, nn.Parameter):
            alone.register_parameter(str(number), weight)
    return alone


def _parameters_of(step: Step) -> Iterable[Tensor]:
    if "model" in step.capabilities:
        return step.model.parameters()
    return step.weights().values() if "weights" in step.capabilities else ()


def _launches(profile: Profile | None) -> dict[str, int] | None:
    """Of one step, from means over several; by short names."""
    if profile is None or profile.counts is None:
        return None
    launches: Counter[str] = Counter()
    for name, count in profile.counts.items():
        launches[short_kernel(name)] += round(count)
    return {name: count for name, count in sorted(launches.items()) if count}


def _software(device: torch.device) -> dict[str, str]:
    """Versions of what decides which operations and kernels a step has."""
    versions: dict[str, str] = {"torch": torch.__version__}
    with suppress(metadata.PackageNotFoundError):
        versions["transformers"] = metadata.version("transformers")
    if device.type == "cuda":
        versions |= {"cuda": torch.version.cuda or "none", "cudnn": str(torch.backends.cudnn.version())}
    return versions
