"""Operations that wait for what was launched on a device. A value of a tensor, or how many there are, is wanted on the host."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves  # private API

READS = {
    "_linalg_check_errors",
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
}
INDEXED = {"_index_put_impl_", "index", "index_put", "index_put_"}
COPIES = {"_to_copy", "copy_"}


def waits(name: str, args: Any, kwargs: Any, out: Any, devices: Collection[str]) -> bool:
    """Whether an operation of aten waits, or would if `devices`, types of them, were GPUs."""
    if name in COPIES:
        return _crosses(args[1] if name == "copy_" else args[0], out) and not _is_asynchronous(name, args, kwargs)
    if name not in READS and not (name in INDEXED and _has_mask(args)):
        return False
    if kwargs.get("output_size") is not None:  # of repeat_interleave: it is told how many there are
        return False
    return any(x.device.type in devices for x in tree_leaves(args) if isinstance(x, Tensor))


def _crosses(source: Tensor, result: Tensor) -> bool:
    return source.device.type != result.device.type and "meta" not in (source.device.type, result.device.type)


def _is_asynchronous(name: str, args: Any, kwargs: Any) -> bool:
    return bool(kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))


def _has_mask(args: Any) -> bool:
    """Whether places are chosen by a mask. A single value of the host's is put there without a wait."""
    if not any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]):
        return False
    adds = len(args) > 3 and args[3]
    return not (len(args) > 2 and not adds and args[2].numel() == 1 and args[2].device.type == "cpu")
