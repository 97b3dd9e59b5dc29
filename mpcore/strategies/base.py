"""`single`: a step on one GPU. The base of all strategies.

A strategy is asked in the order of its methods while a step is made. It names the mode that it has in the place of the one
wanted, and changes the model that the mode takes over. Then it shards what the optimiser will train, and wraps what computes
the loss. In a step it says which micro-batches do not reduce, and reduces what no wrapper does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.precision import Precision
from mpcore.registry import Registry


class LossModule(nn.Module):
    """A module whose forward pass is the loss, so that no call of a model's methods goes past what is wrapped around it; or
    another function of a batch that calls the model."""

    def __init__(self, model: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(self, batch: Any, function: Callable[[Any], Tensor] | None = None) -> Tensor:
        return (function or self._loss)(batch)


class Strategy:
    """Of one step, on the rank's own device. Made where the process group is there."""

    name: ClassVar[str] = "single"
    shards: ClassVar[bool] = False
    """Whether a rank has a part of each weight, and not all of them."""
    mixes: ClassVar[bool] = False
    """Whether the samples of all ranks meet in a forward pass, as in one pass of one rank."""
    like: ClassVar[str | None] = None
    """The strategy that averages in the same format what it averages, and must be as near to FP64."""
    has_callbacks = False
    """Whether a thread of gloo's may do a part of a step, where nobody sees its operations."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        """Why a step in `mode` with this optimiser cannot be spread so over `gpus` ranks, or None. optimiser: as the recipe
        calls it."""
        if gpus == 1:
            return None
        if cls is not Strategy:
            return f"{cls.name} takes Strategy's unsupported(): expected one that returns None for what it can spread"
        return f"single is a step on one GPU: expected --mp-strategy ddp or fsdp with {gpus}"

    def mode(self, precision: Precision) -> Precision:
        """What trains in the place of `precision`, and is called as it: here itself."""
        return precision

    def convert(self, model: nn.Module) -> nn.Module:
        """The model that the mode takes over, in FP32: here `model` itself."""
        return model

    def shard(self, whole: LossModule, precision: Precision) -> None:
        """Called once the mode has cast the model, and before there is an optimiser."""

    def wrap(self, whole: LossModule, precision: Precision) -> nn.Module:
        """What is called with a batch and gives its loss, a 0-dim tensor: here `whole` itself. Called last."""
        return whole

    def predicted(self, whole: LossModule, predict: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """What `predict` makes of a batch, which calls the model inside `whole`."""
        return predict(batch)

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """Around the forward and the backward pass of a micro-batch: only the last one of a step reduces."""
        return nullcontext()

    def reduce(self) -> None:
        """Called after the last backward pass and before gradients are unscaled: afterwards they are the mean over ranks."""

    @property
    def reduced(self) -> tuple[str, int] | None:
        """The collective that averages gradients, as torch calls it, and over how many elements one step does; None where it
        does more for its own sake, or nothing."""
        return None

    @property
    def remark(self) -> str | None:
        """What is to be known of it, for the report."""
        return None


strategies = Registry("strategy", Strategy)
strategies.register(Strategy)
