"""Weights in shards for those trainers that leave it to their user how: by torch's FSDP2, as our `fsdp` does."""

import torch
from torch.distributed.device_mesh import DeviceMesh

from mpcore.precision.sharded import cast_for_shards
from mpcore.strategies import LossModule
from mpcore.strategies.fsdp import check_weights, fully_sharded


def shard(whole: LossModule, precision: str, mesh: DeviceMesh, dtype: torch.dtype | None) -> None:
    """Over `mesh`. dtype: what weights are gathered in, None for their own. Raises Inapplicable where that cannot be."""
    check_weights(whole.model)
    if dtype is not None:
        cast_for_shards(whole.model, {}, dtype, precision)
    fully_sharded(whole, mesh, dtype, torch.float32)
