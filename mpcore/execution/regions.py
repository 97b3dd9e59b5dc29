"""Blocks that repeat in a model: one of them is traced and compiled, and its code serves all."""

import functools
from collections.abc import Callable, Iterator, Sequence
from types import MethodType
from typing import Any

import torch
from torch import nn

LEAST = 4
"""Blocks that are worth it."""


def share_code(model: nn.Module) -> None:
    """Marks the blocks that repeat, for a compiler of the whole model: torch.compiler.nested_compile_region."""
    for blocks in repeated(model):
        for block in blocks:
            block.forward = MethodType(_region(type(block).forward), block)


def repeated(model: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """Lists of blocks of one class and of one shape, the outermost ones. Such as keep statistics are left out: code that is
    shared must not write to what is not its own."""
    blocks = list(model.children()) if isinstance(model, nn.ModuleList | nn.Sequential) else []
    if len(blocks) >= LEAST and _alike(blocks) and not any(map(_keeps_statistics, model.modules())):
        yield blocks
        return
    for child in model.children():
        yield from repeated(child)


@functools.cache
def _region(forward: Callable[..., Any]) -> Callable[..., Any]:
    """One function for all blocks of a class: that is what tells torch that their code is the same."""
    return torch.compiler.nested_compile_region(forward)


def _alike(blocks: Sequence[nn.Module]) -> bool:
    """And more than one kernel each."""
    shapes = {tuple((name, weight.shape) for name, weight in block.named_parameters()) for block in blocks}
    composed = next(blocks[0].children(), None) is not None
    return composed and len(shapes) == 1 and len({type(block) for block in blocks}) == 1


def _keeps_statistics(module: nn.Module) -> bool:
    """As a normalisation over batches does."""
    return getattr(module, "running_mean", None) is not None
