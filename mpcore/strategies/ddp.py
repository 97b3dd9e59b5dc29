"""`ddp`: each rank has all weights and its own batch, and gradients are averaged.

Gradients travel in the format that they are in: FP32 with FP32 weights, autocast included, and 16 bits with 16-bit weights.
torch's DistributedDataParallel reduces them in buckets while the backward pass runs. A mode whose gradients are in one flat
tensor needs no wrapper: that is reduced in one piece, once the last backward pass has filled it; FP32 masters, in FP32.

Running statistics of a BatchNorm are each rank's own, and are not sent around: a flat mode has no wrapper that could, and all
modes are to train alike.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mpcore.device import agreement
from mpcore.precision import Inapplicable, Precision
from mpcore.precision.flat import FlatWeights
from mpcore.precision.optimisers import as_real
from mpcore.strategies.base import LossModule, Strategy, strategies

ALL_REDUCE = "allreduce_"
NEVER = 10**9
"""Steps: DDP times some of its first steps with CUDA events, and each hundredth, which a graph cannot hold."""


def average(gradient: Tensor, *, async_op: bool = False) -> Any:
    """Becomes the mean over ranks. NCCL multiplies by 1/n in the format of the gradient, and 16 bits hold that exactly for
    powers of two alone: with three ranks all gradients would be too large by the same 0.2 %. gloo divides last, and a sum of
    FP16 may have overflowed by then."""
    count = agreement.ranks()
    if gradient.itemsize > 2 or (gradient.is_cuda and count & (count - 1) == 0):
        return distributed.all_reduce(gradient, distributed.ReduceOp.AVG, async_op=async_op)
    return distributed.all_reduce(gradient.div_(count), async_op=async_op)


@strategies.register
class DataParallel(Strategy):
    name = "ddp"
    _wrapper: DistributedDataParallel | None = None
    _unreached: frozenset[str] | None = None

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        return None

    def wrap(self, whole: LossModule, precision: Precision) -> nn.Module:
        self._precision = precision
        if isinstance(precision, FlatWeights):
            return whole
        self._wrapper = DistributedDataParallel(whole)
        self._wrapper.broadcast_buffers = False  # as an argument it is deprecated in torch 2.13, and has no heir in 2.11
        self._wrapper._set_ddp_runtime_logging_sample_rate(NEVER)  # private API
        return self._wrapper

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if last or self._wrapper is None else self._wrapper.no_sync()

    def reduce(self) -> None:
        self._check_reached()
        if isinstance(self._precision, FlatWeights):
            for group in self._precision.groups:
                assert group.whole.grad is not None
                average(group.whole.grad)

    @property
    def reduced(self) -> tuple[str, int] | None:
        if isinstance(self._precision, FlatWeights):
            return ALL_REDUCE, sum(group.whole.numel() for group in self._precision.groups)
        return ALL_REDUCE, sum(as_real(p).numel() for p in self._precision.trained(self._precision.model).values())

    @property
    def remark(self) -> str | None:
        draws = "all ranks draw the same random numbers, for dropout, too: its updates are random, and replicas must not differ"
        return draws if self._precision.draws else None

    def _check_reached(self) -> None:
        """Raises Inapplicable for weights that the loss does not reach on all ranks alike, or that a wrapper waits for."""
        unreached = self._unreached_weights()
        if self._unreached is None:
            self._unreached, *_ = everywhere = agreement.gathered(unreached)
            differ = len(set(everywhere)) > 1
            unreached = frozenset[str]().union(*everywhere)  # or a rank that reaches all would wait for those that raise
        else:
            differ = unreached != self._unreached
        if unreached and (differ or self._wrapper is not None):
            raise Inapplicable(
                f"ddp averages the gradient of each weight in each step, and the loss does not reach {min(unreached)}: "
                "expected requires_grad=False for it"
            )

    def _unreached_weights(self) -> frozenset[str]:
        if isinstance(self._precision, FlatWeights):
            return frozenset(name for group in self._precision.groups for name in group.unreached)
        trained = self._precision.trained(self._precision.model) if self._unreached is None else {}
        return frozenset(name for name, weight in trained.items() if weight.grad is None)


@strategies.register
class SynchronisedBatchNorm(DataParallel):
    """Each BatchNorm takes its statistics over the batches of all ranks."""

    name = "ddp-syncbn"
    mixes = True

    @property
    def reduced(self) -> None:
        """Statistics are reduced, too."""

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        if device.type != "cuda":
            return "ddp-syncbn needs GPUs: torch has no SyncBatchNorm on a CPU"
        return super().unsupported(mode, optimiser, gpus, device)

    def convert(self, model: nn.Module) -> nn.Module:
        if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):  # private API
            raise Inapplicable("ddp-syncbn finds no BatchNorm in the model: expected --mp-strategy ddp")
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
