"""What ranks have after training from one seed: replicas of all weights, or a part of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_leaves  # private API

from mpcore.device import agreement
from mpcore.device.determinism import in_one_order, lacks_order
from mpcore.device.hashes import hash_of
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import TimingSetup
from mpcore.records import RankState
from mpcore.training.base import Step

STEPS = 20
"""After which ranks are compared: in a graph some are replayed."""


@dataclass(frozen=True)
class Trained:
    """Of all ranks, after some steps. weights: hashes by name, of what the optimiser updates."""

    states: list[RankState]
    weights: list[dict[str, str]]

    def apart(self, other: "Trained | None") -> tuple[str, ...]:
        """The names of weights that a rank has otherwise than its like of a second training; without one, than rank 0."""
        others = other.weights if other else self.weights[:1] * len(self.weights)
        pairs = zip(self.weights, others, strict=True)
        return tuple(dict.fromkeys(name for own, of in pairs for name, found in own.items() if of.get(name) != found))


def trained(step: Step) -> Trained:
    """Waits for the device, and for all ranks."""
    weights = _hashes(step)
    return Trained(agreement.gathered(_state(step, weights)), agreement.gathered(weights))


def state_of(step: Step) -> RankState:
    """Of this rank, as far as the step shows it. Waits for the device."""
    return _state(step, _hashes(step))


def first_training(setup: TimingSetup) -> tuple[Step, bool, str | None]:
    """A step that has trained; whether its weights are sharded; and why a second training of such a step may be another, or
    None."""
    step = _built(setup)
    if not agreement.any_rank(any(isinstance(weight, DTensor) for weight in _weights(step).values())):
        return _train(setup, step), False, None
    try:
        with in_one_order():
            return _train(setup, step), True, None
    except Exception as error:
        if (lacking := lacks_order(error)) is None:
            raise
    del step
    return _train(setup, _built(setup)), True, lacking


def second_training(setup: TimingSetup) -> Trained:
    """Of a step that is built anew, from the same seed."""
    with in_one_order():
        return trained(_train(setup, _built(setup)))


def _state(step: Step, weights: Mapping[str, str]) -> RankState:
    model = step.model if "model" in step.capabilities else nn.Module()
    remembered = [_remembered(optimiser) for optimiser in step.optimisers]
    scale = step.scale_state()
    return RankState(
        masters=sha256("".join(weights.values()).encode()).hexdigest(),
        weights=hash_of(model.parameters()),
        optimiser=hash_of(tensor for tensors in remembered for tensor in tensors),
        buffers=hash_of(model.buffers()),
        loss_scale=scale.loss_scale,
        skipped_steps=scale.skipped_steps,
    )


def _built(setup: TimingSetup) -> Step:
    free_memory()
    return setup.build()


def _train(setup: TimingSetup, step: Step) -> Step:
    step.set_rate(1.0)
    for batch in islice(cycle(setup.batches_of(step)), STEPS):
        step(batch)
    return step


def _weights(step: Step) -> Mapping[str, Tensor]:
    return step.weights() if "weights" in step.capabilities else {}


def _hashes(step: Step) -> dict[str, str]:
    return {name: hash_of([weight]) for name, weight in _weights(step).items()}


def _remembered(optimiser: torch.optim.Optimizer) -> Iterator[Tensor]:
    """In the order of its weights."""
    states = [optimiser.state.get(p, {}) for group in optimiser.param_groups for p in group["params"]]
    return (leaf for leaf in tree_leaves(states) if isinstance(leaf, Tensor))
