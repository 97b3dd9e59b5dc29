"""What a step does, counted in one eager step at learning rate 0, and the kernels that its execution launches."""

from collections.abc import Iterable, Mapping
from functools import partial
from importlib import metadata

import torch
from torch import Tensor

from mpcore.data import Batch
from mpcore.device.dispatch import Dispatch, short
from mpcore.device.profiler import profiled
from mpcore.execution.graph import WARM_UP
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import Setup, TimingSetup
from mpcore.records import Profile, Work
from mpcore.records.work import compressed
from mpcore.training.step import TrainStep


def measure_work(setup: TimingSetup) -> Work:
    """Of a case whose speed is not measured."""
    free_memory()
    step, batch = setup.build(), setup.batches[0]
    step.set_learning_rate(0.0)
    found = dispatched(step, batch)
    if setup.device.type != "cuda":
        return work_of(setup, step, found, None)
    for _ in range(WARM_UP + 1):  # a graph has been captured then
        step(batch)
    return work_of(setup, step, found, profiled(partial(step, batch), setup.device))


def dispatched(step: TrainStep, batch: Batch) -> Dispatch:
    """What the second of two eager steps dispatches: the first makes the optimiser's state."""
    step.launch(batch)
    with Dispatch(step.model) as found:
        step.launch(batch)
    return found


def work_of(setup: Setup, step: TrainStep, found: Dispatch, profile: Profile | None, signature: str | None = None) -> Work:
    """profile: of a step on a GPU, as its execution runs it."""
    optimiser = step.precision.optimiser
    state = [value for of in optimiser.state.values() for value in of.values() if isinstance(value, Tensor)]
    counts = profile.counts if profile is not None else None
    return Work(
        **setup.fields,
        software=_software(setup.device),
        operations=compressed(found.operations),
        flops_by_dtype={short(dtype): count for dtype, count in found.flops.items()},
        casts=found.casts,
        cast_bytes=found.cast_bytes,
        saved_bytes=found.saved_bytes,
        synchronisations=tuple(found.synchronisations),
        parameter_bytes=_bytes(step.model.parameters()),
        gradient_bytes=_bytes(step.precision.gradients().values()),
        optimiser_bytes=_bytes(state),
        kernels=_whole(counts) if counts is not None else None,
        graph_signature=signature,
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Of different storages."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def _whole(counts: Mapping[str, float]) -> dict[str, int]:
    """Launches of one step, from means over several."""
    return {name: round(count) for name, count in sorted(counts.items()) if round(count)}


def _software(device: torch.device) -> dict[str, str]:
    """Versions of what decides which operations and kernels a step has."""
    versions = {"torch": torch.__version__, "transformers": metadata.version("transformers")}
    if device.type == "cuda":
        versions |= {"cuda": torch.version.cuda or "none", "cudnn": str(torch.backends.cudnn.version())}
    return versions
