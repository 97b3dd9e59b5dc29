"""Tensors in whatever a batch is made of: mappings, sequences and dataclasses, in each other."""

import copy
import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from torch import Tensor


def leaves(tree: Any) -> Iterator[Tensor]:
    """The tensors of `tree`, in its order. What it holds beside them is passed over."""
    if isinstance(tree, Tensor):
        yield tree
    else:
        for _, part in _parts(tree):
            yield from leaves(part)


def mapped(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same with `function` of each tensor in its place. What it holds beside them is shared."""
    if isinstance(tree, Tensor):
        return function(tree)
    parts = {name: mapped(part, function) for name, part in _parts(tree)}
    if not parts:
        return tree
    if isinstance(tree, tuple):
        return type(tree)(*parts.values()) if hasattr(tree, "_fields") else tuple(parts.values())
    other = copy.copy(tree)
    for name, part in parts.items():
        if dataclasses.is_dataclass(tree):
            object.__setattr__(other, name, part)  # it may be frozen
        else:
            other[name] = part
    return other


def structure(tree: Any) -> Hashable:
    """What two trees share whose tensors have the same places, shapes and formats, beside the same of all else."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype
    if parts := _parts(tree):
        return type(tree), *((name, structure(part)) for name, part in parts)
    return tree if isinstance(tree, Hashable) else id(tree)


def _parts(tree: Any) -> list[tuple[Any, Any]]:
    """By their names or places; none of what cannot be looked into."""
    if isinstance(tree, Mapping):
        return list(tree.items())
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    return []
