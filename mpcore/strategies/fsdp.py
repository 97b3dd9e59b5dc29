"""`fsdp`: each rank has a part of each weight, of its gradient and of the optimiser's state (torch's `fully_shard`, FSDP2).

Weights are gathered where they are used, block by block, and gradients are averaged in FP32, whatever they were computed in.
`fp16-manual` and `bf16-manual` are what FSDP itself calls mixed precision: the FP32 shards are the masters, and what is
gathered is cast.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from mpcore.device import agreement
from mpcore.execution.regions import blocks
from mpcore.precision import Inapplicable, Precision
from mpcore.precision.autocast import Autocast
from mpcore.precision.flat import FlatWeights
from mpcore.precision.sharded import SHARDED
from mpcore.strategies.base import LossModule, Strategy, strategies

REDUCE_SCATTER = "_reduce_scatter_base_"
AS_THEY_ARE = ("fp32", "tf32", "bf16-true", "fp64")
"""Modes whose weights are sharded in the format that they have."""


@strategies.register
class FullyShard(Strategy):
    name = "fsdp"
    shards = True
    like = "ddp"
    _whole: FSDPModule | None = None

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        if mode.name not in (*AS_THEY_ARE, *SHARDED):
            return _why_not(mode)
        if optimiser == "SGD" and mode.fused:
            return f"fsdp has no {mode.name} with SGD: torch's fused SGD takes no sharded weights"
        return None

    def mode(self, precision: Precision) -> Precision:
        kind = SHARDED.get(precision.name)
        return precision if kind is None else kind(keep_fp32=precision.keep_fp32, max_norm=precision.max_norm)

    def shard(self, whole: LossModule, precision: Precision) -> None:
        self._precision = precision
        check_weights(whole.model)
        mesh = init_device_mesh(self.device.type, (agreement.ranks(),))
        dtype = precision.dtype if precision.name in SHARDED else None
        self._whole = fully_sharded(whole, mesh, dtype, self.reduced_in(precision))

    def reduced_in(self, precision: Precision) -> torch.dtype | None:
        """The format that gradients are averaged in; None for their own."""
        return None if precision.dtype == torch.float64 else torch.float32

    @property
    def reduced(self) -> tuple[str, int] | None:
        """Each weight is padded until its rows are as many on each rank."""
        weights = self._precision.trained(self._precision.model).values()
        ranks = agreement.ranks()
        return REDUCE_SCATTER, sum(-(-len(w) // ranks) * ranks * (w.numel() // len(w)) for w in weights)

    def predicted(self, whole: LossModule, predict: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """With the weights that are gathered for it. A backward pass gives these back, and here is none: they would be used
        again after the next update."""
        assert self._whole is not None
        found = whole(batch, predict)
        assert isinstance(found, Tensor)
        self._whole.reshard()
        return found

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        assert self._whole is not None
        self._whole.set_requires_gradient_sync(last)
        return nullcontext()


def fully_sharded(whole: LossModule, mesh: DeviceMesh, dtype: torch.dtype | None, reduced: torch.dtype | None) -> FSDPModule:
    """`whole` itself, whose model is sharded block by block. dtype: what weights are gathered in, and inputs of blocks cast to;
    None for their own. reduced: what gradients are averaged in."""
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=reduced)
    for block in blocks(whole.model):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    labels_kept = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=reduced, cast_forward_inputs=False)
    sharded = fully_shard(whole, mesh=mesh, mp_policy=labels_kept)
    uneven = mesh.size() & (mesh.size() - 1) != 0
    if mesh.device_type == "cpu" or (uneven and reduced is not None and reduced.itemsize == 2):
        # gloo has no mean, and returns the sum in its place; that of NCCL is none in 16 bits: see ddp
        for module in whole.modules():
            if isinstance(module, FSDPModule):
                module.set_force_sum_reduction_for_comms(True)
    return sharded


def check_weights(model: nn.Module) -> None:
    """Raises Inapplicable for those that cannot be sharded."""
    other = next((name for name, p in model.named_parameters() if not p.is_contiguous()), None)
    if other is not None:
        raise Inapplicable(f"fsdp shards rows, and {other} lies in memory otherwise: expected no channels_last in the model")
    complex_ = next((name for name, p in model.named_parameters() if p.is_complex()), None)
    if complex_ is not None:
        raise Inapplicable(f"fsdp shards weights of one format together, and {complex_} is complex: expected --mp-strategy ddp")


def _why_not(mode: type[Precision]) -> str:
    if issubclass(mode, FlatWeights):
        return f"{mode.name} keeps all weights in one flat tensor, and fsdp lays out what it shards itself"
    if issubclass(mode, Autocast):
        return f"{mode.name} casts weights at each use, and fsdp where they are gathered: expected one of {', '.join(SHARDED)}"
    return f"fsdp has no {mode.name}: expected one of {', '.join((*AS_THEY_ARE[:-1], *SHARDED))}"
