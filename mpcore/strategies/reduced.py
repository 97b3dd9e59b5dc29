"""`ddp-16bit` and `fsdp-16bit`: gradients travel in the 16-bit format of the mode, though they are computed with FP32 masters.

Half the bytes, and a rounding more: a sum over ranks in 16 bits loses what FP32 keeps. Gradients are divided by the number of
ranks before they are added: so a sum in FP16 overflows no sooner than its largest part.

The gradients of a model that is cast are in 16 bits already. Those of a batch in one part are averaged before they are moved to
the masters'.
"""

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.futures import Future

from mpcore.device import agreement
from mpcore.precision import Precision
from mpcore.precision.autocast import Autocast
from mpcore.precision.flat import FlatWeights, Group
from mpcore.precision.master import MasterWeights
from mpcore.precision.sharded import SHARDED
from mpcore.strategies.base import LossModule, strategies
from mpcore.strategies.ddp import DataParallel, average
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


def averaged(group: Group, gradients: list[Tensor]) -> list[Tensor]:
    """The mean over ranks of the gradients of a group, in their own format. They travel in one piece: NCCL is slower with
    hundreds of tensors, even in one call."""
    assert group.whole.grad is not None
    whole = torch.empty_like(group.whole.grad, dtype=gradients[0].dtype)
    parts = [whole.as_strided(g.shape, g.stride(), g.storage_offset()) for g in group.gradients.values()]
    torch._foreach_copy_(parts, gradients)  # private API
    average(whole)
    return parts


def is_cast(group: Group, dtype: torch.dtype) -> bool:
    """Whether the model has these weights, and their gradients, in `dtype`."""
    return all(parameter.dtype == dtype for parameter in group.parameters.values())


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
        self._as_they_are: list[Group] = []
        if self._wrapper is not None and precision.dtype in FORMATS:
            self._wrapper.register_comm_hook(None, compressed_to(precision.dtype))
            self.has_callbacks = self.device.type == "cpu"
        return wrapped

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        precision = self._precision
        self._as_they_are = []
        if last and isinstance(precision, FlatWeights) and not precision.gathered:
            self._as_they_are = [group for group in precision.groups if is_cast(group, precision.dtype)]
        return self._exchanging() if self._as_they_are else super().micro_batch(last=last)

    @contextmanager
    def _exchanging(self) -> Iterator[None]:
        """Within it, gradients that are in 16 bits are averaged as they are, before they are gathered."""
        for group in self._as_they_are:
            group.exchange = functools.partial(averaged, group)
        try:
            yield
        finally:
            for group in self._as_they_are:
                group.exchange = None

    def reduce(self) -> None:
        self._check_reached()
        if isinstance(self._precision, FlatWeights):
            for group in self._precision.groups:
                if group not in self._as_they_are:
                    self._average_rounded(group)

    def _average_rounded(self, group: Group) -> None:
        gradient = group.whole.grad
        assert gradient is not None
        rounded = torch.div(gradient, agreement.ranks(), out=torch.empty_like(gradient, dtype=self._precision.dtype))
        distributed.all_reduce(rounded)
        torch._foreach_copy_([gradient], [rounded])  # private API; a cast that reads and writes vectors

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
