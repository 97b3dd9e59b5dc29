"""`ddp-16bit` and `fsdp-16bit`: gradients travel in the 16-bit format of the mode, though they are computed with FP32 masters.

Half the bytes, and a rounding more: a sum over ranks in 16 bits loses what FP32 keeps. They are divided by the number of ranks
before they are rounded: a sum of FP16 overflows no sooner than its largest part.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.futures import Future

from mpcore.device import agreement
from mpcore.precision import Precision
from mpcore.precision.autocast import Autocast
from mpcore.precision.flat import FlatWeights
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
        sent = (gradients / agreement.ranks()).to(dtype)
        future = distributed.all_reduce(sent, async_op=True).get_future()
        return future.then(lambda done: gradients.copy_(done.value()[0]))

    return averaged


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
        if self._wrapper is not None and precision.dtype in FORMATS:
            self._wrapper.register_comm_hook(None, compressed_to(precision.dtype))
        return wrapped

    def reduce(self) -> None:
        self._check_reached()
        for group in self._precision.groups if isinstance(self._precision, FlatWeights) else ():
            assert group.whole.grad is not None
            sent = (group.whole.grad / agreement.ranks()).to(self._precision.dtype)
            distributed.all_reduce(sent)
            group.whole.grad.copy_(sent)

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
