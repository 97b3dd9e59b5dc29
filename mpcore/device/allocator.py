"""How torch's allocator splits large blocks of a GPU's memory.

cuDNN takes the first algorithm of its list whose workspace can be had, and some ask for a quarter of a GPU's memory. A small
tensor that lives on in such a block keeps all of it from the capture that comes next. Whether one does hangs on what was
measured before: a step would be captured with other algorithms in another process. Whoever measures keeps large blocks whole.

Where a user has told the allocator something, in a variable of the environment, that stays. It is told by a call here, for the
variables are read once, as soon as a library asks for a GPU.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
WHOLE_MIB = 4096
"""A block of memory this large serves what is as large, and nothing small."""
UNBOUNDED_MIB = 2**20
"""No block is so large: all are split, as without a setting."""


_told: list[str] = []
"""What the allocator was told here, the last one last."""


def keep_large_blocks_whole() -> None:
    """For good: for processes that are our own, from their start to their end."""
    _told[:] = [_split_below(WHOLE_MIB)]
    _tell(_told[-1])


def large_blocks_whole() -> AbstractContextManager[None]:
    """While something is measured in a process that is not only ours."""
    return _within(_split_below(WHOLE_MIB))


def large_blocks_split() -> AbstractContextManager[None]:
    """While a graph is captured, whose pool holds nothing yet. Where memory ends, an allocator that keeps blocks whole frees
    some, which no capture survives (pytorch/pytorch#159594). One that splits them says that it ends, and cuDNN takes less."""
    return _within(_split_below(UNBOUNDED_MIB))


@contextmanager
def _within(setting: str) -> Iterator[None]:
    """Within it the allocator is told `setting`, and then what it was told before."""
    before = _told[-1] if _told else _asked() or _split_below(UNBOUNDED_MIB)
    _told.append(setting)
    _tell(setting)
    try:
        yield
    finally:
        _told.pop()
        _tell(before)


def _tell(setting: str) -> None:
    if not any(os.environ.get(name) for name in ALLOCATOR_VARIABLES):
        torch._C._accelerator_setAllocatorSettings(setting)  # private API


def _asked() -> str:
    """What a program around us has told it; "" where it told nothing, and in torch 2.11, which cannot be asked."""
    ask = getattr(torch._C, "_accelerator_getAllocatorSettings", None)  # private API
    return ask() if ask else ""


def _split_below(mib: int) -> str:
    return f"max_split_size_mb:{mib}"
