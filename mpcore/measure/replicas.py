"""What ranks have after training from one seed: replicas of all weights, or a part of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_leaves  # private API
from torch.utils.hooks import RemovableHandle

from mpcore.data import Batch
from mpcore.device import agreement
from mpcore.device.hashes import hash_of
from mpcore.measure.collectives import sent
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import TimingSetup
from mpcore.records import OWN_STRATEGY, Collective, RankState, Unlike
from mpcore.training.base import Step
from mpcore.training.step import TrainStep

STEPS = 20
"""After which ranks are compared: in a graph some are replayed."""


@dataclass(frozen=True)
class Trained:
    """Of all ranks, after some steps. weights: hashes by name, of what the optimiser updates."""

    states: list[RankState]
    weights: list[dict[str, str]]

    def differs(self, other: "Trained") -> bool:
        """From a second training, in which each rank has seen the same."""
        return any(own.differs(theirs, buffers=True) for own, theirs in zip(self.states, other.states, strict=True))

    def apart(self, other: "Trained | None" = None) -> tuple[str, ...]:
        """The names of weights that a rank has otherwise than its like of a second training; without one, than rank 0."""
        others = other.weights if other else self.weights[:1] * len(self.weights)
        pairs = list(zip(self.weights, others, strict=True))
        names = dict.fromkeys(name for own, theirs in pairs for name in (*own, *theirs))
        return tuple(name for name in names if any(own.get(name) != theirs.get(name) for own, theirs in pairs))


@dataclass(frozen=True)
class Ranks:
    """After a training, and what a step sends. planted: after one more, whose loss is infinite on the last rank; None where no
    step is skipped for that."""

    trained: Trained
    sharded: bool
    one_batch: bool
    kernels: tuple[Unlike, ...] | None
    collectives: tuple[Collective, ...]
    alike: bool
    reduced: tuple[str, int] | None
    planted: tuple[RankState, ...] | None


def train(setup: TimingSetup, steps: int = STEPS, *, dropout: bool = True, by_python: bool = False) -> Step:
    """A new step, after so many. dropout: off for two that are compared, where mpcore has its model. by_python: whether Python
    launches what would be replayed."""
    free_memory()
    step = setup.build() if dropout or setup.case.strategy == OWN_STRATEGY else setup.train_step(dropout=False)
    step.set_rate(1.0)
    run = step.launch if by_python else step
    for batch in islice(cycle(setup.batches_of(step)), steps):
        run(batch)
    return step


def trained(step: Step) -> Trained:
    """Waits for the device, and for all ranks."""
    weights = hashes_of(step)
    return Trained(agreement.gathered(_state(step, weights)), agreement.gathered(weights))


def _is_sharded(step: Step) -> bool:
    """Whether a rank has a part of each weight. Waits for all ranks."""
    return agreement.any_rank(any(isinstance(weight, DTensor) for weight in _weights(step).values()))


def ranks_of(setup: TimingSetup) -> Ranks:
    """All that its step holds is free again afterwards."""
    step = train(setup)
    after, batch = trained(step), setup.batches_of(step)[0]
    called = sent(step, batch)
    return Ranks(
        trained=after,
        sharded=_is_sharded(step),
        one_batch=setup.case.strategy == OWN_STRATEGY and _one_batch(setup.batches_of(step)),
        kernels=_kernels(step),
        collectives=called,
        alike=len(set(agreement.gathered(called))) == 1,
        reduced=step.strategy.reduced if isinstance(step, TrainStep) and step.strategy else None,
        planted=_planted(step, batch) if step.loss_scale is not None else None,
    )


def _one_batch(batches: Sequence[Any]) -> bool:
    """Whether all ranks have the same. Their dense tensors are looked at."""
    leaves = [leaf for leaf in tree_leaves(batches) if isinstance(leaf, Tensor)]
    tensors = [leaf for leaf in leaves if leaf.layout == torch.strided and not leaf.is_nested]
    return len(set(agreement.gathered(hash_of(tensors)))) == 1 and bool(tensors)


def unlike(counts: Mapping[str, int]) -> tuple[Unlike, ...]:
    """The ranks that count otherwise than rank 0, with those that differ. Waits for all ranks."""
    first, *others = agreement.gathered(dict(counts))
    found = []
    for rank, other in enumerate(others, 1):
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if names:
            on_first, here = ({name: of[name] for name in names if name in of} for of in (first, other))
            found.append(Unlike(rank=rank, on_first=on_first, here=here))
    return tuple(found)


def _kernels(step: Step) -> tuple[Unlike, ...] | None:
    contents = step.graph_contents
    return None if agreement.any_rank(contents is None) else unlike(contents.kernels if contents else {})


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


def _weights(step: Step) -> Mapping[str, Tensor]:
    return step.weights() if "weights" in step.capabilities else {}


def hashes_of(step: Step) -> dict[str, str]:
    """Of each weight, by name."""
    return {name: hash_of([weight]) for name, weight in _weights(step).items()}


def _remembered(optimiser: torch.optim.Optimizer) -> Iterator[Tensor]:
    """In the order of its weights."""
    states = [optimiser.state.get(p, {}) for group in optimiser.param_groups for p in group["params"]]
    return (leaf for leaf in tree_leaves(states) if isinstance(leaf, Tensor))


def _planted(step: Step, batch: Batch) -> tuple[RankState, ...]:
    """After an eager step in which the loss of the last rank is infinite, and so are its gradients."""
    last = agreement.rank() == agreement.ranks() - 1
    hooks = _infinite(step) if last else []
    step.launch(batch)
    for hook in hooks:
        hook.remove()
    return tuple(trained(step).states)


def _infinite(step: Step) -> list[RemovableHandle]:
    """Where its loss is not to be seen the gradients are made so, before anybody averages them."""
    if isinstance(step, TrainStep):
        return [step.loss_module.register_forward_hook(lambda _, __, loss: loss * math.inf)]
    return [p.register_hook(lambda gradient: gradient * math.inf) for p in step.model.parameters() if p.requires_grad]
