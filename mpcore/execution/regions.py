"""Which parts of a model are compiled, each by itself: the model as a whole, or its blocks where they repeat."""

from collections.abc import Iterator

from torch import nn

LISTS = (nn.ModuleList, nn.ModuleDict)
"""What nobody calls, and so nobody can compile."""


def blocks_once(model: nn.Module) -> list[nn.Module]:
    """The blocks of `model` that repeat, whose code is compiled once for all of them, and what is around them as far as it has
    modules of its own; the model itself where nothing repeats."""
    return list(_parts(model))


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if not any(map(_repeats, module.modules())):
        yield from [] if isinstance(module, LISTS) or _is_leaf(module) else [module]
    elif _repeats(module):
        yield from module.children()
    else:
        for child in module.children():
            yield from _parts(child)


def _repeats(module: nn.Module) -> bool:
    """Whether it is a list of blocks of one class."""
    children = list(module.children())
    classes = {type(child) for child in children}
    return isinstance(module, nn.ModuleList | nn.Sequential) and len(children) > len(classes) == 1 and not _is_leaf(children[0])


def _is_leaf(module: nn.Module) -> bool:
    """It is one kernel, whether it is compiled or not."""
    return next(module.children(), None) is None
