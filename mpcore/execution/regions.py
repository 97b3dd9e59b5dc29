"""Which parts of a model are compiled, each by itself: the model as a whole, or its blocks where they repeat."""

from collections.abc import Iterator

from torch import nn

LISTS = (nn.ModuleList, nn.ModuleDict)
"""What nobody calls, and so nobody can compile."""


def blocks_once(model: nn.Module) -> list[nn.Module]:
    """The blocks of `model` that repeat, whose code is compiled once for all of them, and what is around them as far as it has
    modules of its own; the model itself where nothing repeats."""
    return list(_parts(model)) if any(map(_repeats, model.modules())) else [model]


def of_torch(module: nn.Module) -> bool:
    """Whether torch itself has written its forward."""
    return type(module).forward.__module__.startswith("torch.nn.")


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if _repeats(module):
        yield from module.children()
    elif isinstance(module, LISTS) or any(map(_repeats, module.modules())):
        for child in module.children():
            yield from _parts(child)
    elif not _is_one_kernel(module):
        yield module


def _repeats(module: nn.Module) -> bool:
    """Whether it is a list of blocks of one class."""
    children = list(module.children())
    alike = len(children) > len({type(child) for child in children}) == 1
    return alike and isinstance(module, nn.ModuleList | nn.Sequential) and not _is_one_kernel(children[0])


def _is_one_kernel(module: nn.Module) -> bool:
    """Such as a Linear, which is the same whether it is compiled or not."""
    return of_torch(module) and next(module.children(), None) is None
