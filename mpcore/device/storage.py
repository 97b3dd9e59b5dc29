"""What tensors keep in memory, also those that are made of others."""

from collections.abc import Iterable

import torch
from torch import Tensor, UntypedStorage
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import is_traceable_wrapper_subclass  # private API

PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}
"""By layout, the methods that give out the parts of a sparse tensor."""


def storages(tensor: Tensor) -> dict[StorageWeakRef, UntypedStorage]:
    """Of a tensor or its parts, by what stays the same for as long as it is kept. None of a tensor that holds no numbers, as in
    tracing, or that hides them."""
    if is_traceable_wrapper_subclass(tensor):
        inner = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        parts = [part for part in inner if isinstance(part, Tensor)]
    elif tensor.layout in PARTS:
        parts = [getattr(tensor, name)() for name in PARTS[tensor.layout]]
    else:
        return _own(tensor)
    return {key: storage for part in parts for key, storage in storages(part).items()}


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Of different storages."""
    found = {key: storage for tensor in tensors for key, storage in storages(tensor).items()}
    return sum(storage.nbytes() for storage in found.values())


def _own(tensor: Tensor) -> dict[StorageWeakRef, UntypedStorage]:
    if tensor.layout != torch.strided or tensor.is_meta:
        return {}
    storage = tensor.untyped_storage()
    return {} if storage.device.type == "meta" else {StorageWeakRef(storage): storage}
