"""What is measured: a training step, and what else can be asked of it.

A step that mpcore makes of a workload and a mode can do all of this. One of another trainer, or of a script, may not. Whoever
measures names what is needed, and what is missing is one sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mpcore.device.graph_contents import GraphContents
from mpcore.execution import Eager
from mpcore.precision import Inapplicable, ScaleState, optimisers
from mpcore.precision.scale import scale_state
from mpcore.workloads.schedule import warm_up_and_down

Capability = Literal["rate", "optimisers", "model", "weights", "prediction"]

CAPABILITIES: dict[Capability, str] = {
    "rate": "a learning rate that can be set",
    "optimisers": "optimisers of torch.optim",
    "model": "a model, whose modules have names",
    "weights": "weights and gradients by name",
    "prediction": "a prediction",
}
"""What a step may have, in the words of a sentence."""


class Step:
    """One training step: batch in, loss out (0-dim, on the device, not waited for).

    `capabilities` says which of `set_rate`, `optimisers`, `model`, `weights()` with `gradients()`, and `predict` it has:
    whoever cannot do without calls `needs` first. All else has an answer for every step. A step that was captured writes its
    loss to the same place at every call: what is to be kept is copied.
    """

    _execute: Eager | None = None
    """What runs it, and may have captured it."""
    label: str
    """What it is called in a sentence: "nanogpt"."""
    device: torch.device
    model: nn.Module
    """With `model` only."""
    spread: bool = False
    """Whether it is one of the ranks that a step is spread over, each with its own part of a batch."""
    capabilities: frozenset[Capability] = frozenset()
    ALL: ClassVar[frozenset[Capability]] = frozenset(CAPABILITIES)

    def __call__(self, batch: Any) -> Tensor:
        """One step, as its execution runs it."""
        raise NotImplementedError

    def launch(self, batch: Any) -> Tensor:
        """The same step, launched by Python one operation after the other."""
        return self(batch)

    @property
    def batches(self) -> Sequence[Any]:
        """That it is timed on, where it brings some of its own; () where they are those of its workload."""
        return ()

    @property
    def captured(self) -> bool:
        """Whether the host only starts a graph, and has nothing to do while the device works."""
        return self._execute is not None and self._execute.captured

    @property
    def graph_contents(self) -> GraphContents | None:
        """What the captured step is made of; None where it is not captured, or cannot be read."""
        return None if self._execute is None else self._execute.contents

    @property
    def pool_bytes(self) -> int | None:
        """Device memory that the captured step holds, beside weights and optimiser; None where it is not captured."""
        return None if self._execute is None else self._execute.pool_bytes

    @property
    def remark(self) -> str | None:
        """What is to be known of how it was made, for the report."""
        return None if self._execute is None else self._execute.remark

    @property
    def loss_scale(self) -> Tensor | None:
        """0-dim tensor on the device; None where the loss is not scaled, or nobody knows by how much."""
        return None

    @property
    def skipped(self) -> Tensor | None:
        """0-dim tensor on the device that counts skipped steps; None where none is, or nobody counts them."""
        return None

    def scale_state(self) -> ScaleState:
        """Waits for the device."""
        return scale_state(self.loss_scale, self.skipped)

    def put_back(self) -> None:
        """Weights, and what else a step moves at rate 0, become what they were at the first call. Called before each block that
        is timed. Here nothing: at rate 0 all stands still."""

    def set_rate(self, share: float) -> None:
        """From now on steps learn at `share` of their own learning rate; at 0 the weights stand still. Without `rate` it does
        nothing, and `put_back` is all that holds them."""

    def schedule(self, step: int, steps: int) -> float:
        """The share of the learning rate for `step` of `steps`, counted from 1."""
        return warm_up_and_down(step, steps)

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """() without `optimisers`. Gradients are seen at their door, by their hooks."""
        return ()

    def forget(self) -> None:
        """What the optimisers remember of their steps becomes what it was before the first. In place, for captured steps."""
        for optimiser in self.optimisers:
            optimisers.forget(optimiser)

    def train_mode(self) -> None:
        """Puts the model into the mode that it is trained in, if there is a model."""
        if "model" in self.capabilities:
            self.model.train()

    def weights(self) -> Mapping[str, Tensor]:
        """Needs `weights`. By name, the tensors that the optimisers update."""
        raise NotImplementedError

    def gradients(self) -> Mapping[str, Tensor]:
        """Needs `weights`. By name, the gradients of `weights()` as the optimisers are given them; the loss must have reached
        them."""
        return {name: w.grad for name, w in self.weights().items() if w.grad is not None}

    def predict(self, batch: Any) -> Tensor:
        """Needs `prediction`. A row for each sample of `batch`."""
        raise NotImplementedError


def needs(step: Step, *capabilities: Capability) -> None:
    """Raises Inapplicable where `step` lacks one of them: the case is skipped with that sentence."""
    lacks = [CAPABILITIES[name] for name in capabilities if name not in step.capabilities]
    if lacks:
        raise Inapplicable(f"the step of {step.label} lacks {lacks[0]}")
