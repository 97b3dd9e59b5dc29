"""`ddp-16bit` and `fsdp-16bit`: gradients travel in the 16-bit format of the mode, though they are computed with FP32 masters.

Half the bytes, and a rounding more: a sum over ranks in 16 bits loses what FP32 keeps. FP16 is divided by the number of ranks
before it travels: a sum overflows no sooner than its largest part.

The gradients of a model that is cast are in 16 bits already. Those of a batch in one part travel as they are. For that
`ddp-16bit` keeps a copy of them, 2 bytes a weight.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.futures import Future

from mpcore.device import agreement
from mpcore.precision import Precision
from mpcore.precision.autocast import Autocast
from mpcore.precision.flat import FlatWeights, Group, flat
from mpcore.precision.master import MasterWeights
from mpcore.precision.sharded import SHARDED
from mpcore.strategies.base import LossModule, strategies
from mpcore.strategies.ddp import DataParallel
from mpcore.strategies.fsdp import FullyShard

FORMATS = (torch.float16, torch.bfloat16)
REMARK = "gradients are averaged in 16 bits"


def compressed_to(dtype: torch.dtype) -> Any:
    """How DDP averages a bucket of gradients in `dtype`: torch has hooks that do, but for NCCL alone."""

    def averaged(_: object, bucket: distributed.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
        gradients = bucket.buffer()
        sent = torch.div(gradients, agreement.ranks(), out=torch.empty_like(gradients, dtype=dtype))
        future = distributed.all_reduce(sent, async_op=True).get_future()
        return future.then(lambda done: gradients.copy_(done.value()[0]))

    return averaged


@dataclass(frozen=True)
class Sent:
    """A copy of a group's gradients in 16 bits, and its parts by name."""

    group: Group
    whole: Tensor
    parts: dict[str, Tensor]

    @property
    def is_cast(self) -> bool:
        """Whether the model has these weights, and their gradients, in 16 bits."""
        return all(parameter.dtype == self.whole.dtype for parameter in self.group.parameters.values())


def _copy_of(group: Group, dtype: torch.dtype) -> Sent:
    whole, parts = flat(list(group.masters.values()), dtype)
    return Sent(group, whole, dict(zip(group.masters, parts, strict=True)))


@strategies.register
class DataParallel16(DataParallel):
    name = "ddp-16bit"

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        if issubclass(mode, Autocast | MasterWeights):
            return super().unsupported(mode, optimiser, gpus, device)
        return f"ddp-16bit sends in 16 bits what has FP32 masters, and {mode.name} has none: expected --mp-strategy ddp"

    def wrap(self, whole: LossModule, precision: Precision) -> nn.Module:
        wrapped = super().wrap(whole, precision)
        self._sent: list[Sent] = []
        self._as_they_are = False
        if self._wrapper is not None and precision.dtype in FORMATS:
            self._wrapper.register_comm_hook(None, compressed_to(precision.dtype))
        elif isinstance(precision, FlatWeights):
            self._sent = [_copy_of(group, precision.dtype) for group in precision.groups]
        return wrapped

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        precision = self._precision
        self._as_they_are = last and isinstance(precision, FlatWeights) and not precision.gathered
        return self._gathering() if self._as_they_are else super().micro_batch(last=last)

    @contextmanager
    def _gathering(self) -> Iterator[None]:
        """Within it, gradients that are in 16 bits are gathered so."""
        cast = [sent for sent in self._sent if sent.is_cast]
        for sent in cast:
            sent.group.places = sent.parts
        try:
            yield
        finally:
            for sent in cast:
                sent.group.places = sent.group.gradients

    def reduce(self) -> None:
        self._check_reached()
        first = agreement.ranks() if self._precision.dtype == torch.float16 else 1
        for sent in self._sent:
            gradient = sent.group.whole.grad
            assert gradient is not None
            gathered = sent.whole if self._as_they_are and sent.is_cast else gradient
            if gathered is not sent.whole or first > 1:
                torch.div(gathered, first, out=sent.whole)
            distributed.all_reduce(sent.whole)
            torch.div(sent.whole, agreement.ranks() // first, out=gradient)

    @property
    def remark(self) -> str:
        return REMARK


@strategies.register
class FullyShard16(FullyShard):
    name = "fsdp-16bit"
    like = "ddp-16bit"

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        if mode.name in SHARDED:
            return super().unsupported(mode, optimiser, gpus, device)
        return f"fsdp-16bit sends in 16 bits what has FP32 masters, and {mode.name} has none: expected --mp-strategy fsdp"

    def reduced_in(self, precision: Precision) -> torch.dtype | None:
        return precision.dtype if precision.name in SHARDED else super().reduced_in(precision)

    @property
    def remark(self) -> str:
        return REMARK
