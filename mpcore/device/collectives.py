"""The collectives that a step calls, counted as they come to torch's dispatcher: those of DDP's reducer and of FSDP, too."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API

NAMESPACES = ("c10d", "_c10d_functional")
WAITS = ("barrier", "wait_tensor", "monitored_barrier_")
"""Nothing is sent by them."""


class Collectives(TorchDispatchMode):
    """with Collectives() as found: step.launch(batch)

    found: how often each was called, by name and format, and over how many elements. These are what goes in or what comes out,
    whichever is longer. Those that are replayed in a graph are not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.elements: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, _, name = func._schema.name.partition("::")  # private API
        if namespace in NAMESPACES and name not in WAITS:
            self._count(name, args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: Any) -> None:
        lists = [[t for t in tree_leaves(arg) if isinstance(t, Tensor)] for arg in args]
        tensors = max(lists, key=lambda found: sum(t.numel() for t in found), default=[])
        for tensor in tensors:
            self.elements[name, str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
        for dtype in {str(tensor.dtype).removeprefix("torch.") for tensor in tensors}:
            self.calls[name, dtype] += 1


def bytes_of_elements(dtype: str, elements: int) -> int:
    return elements * getattr(torch, dtype).itemsize
