"""The parts of a model: its blocks that repeat, and what is to be compiled by itself."""

from collections.abc import Iterator

from torch import nn


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The repeated ones: the members of the outermost lists of modules of one class."""
    for child in model.children():
        members = list(child.children())
        if isinstance(child, nn.ModuleList) and len(members) > 1 and len({type(member) for member in members}) == 1:
            yield from members
        else:
            yield from blocks(child)


def regions(model: nn.Module) -> list[nn.Module]:
    """What is compiled by itself, so that blocks share the code of the first: they, and what lies around them.

    It is the whole model where no blocks repeat, or where those of one class differ. Each would be compiled then, and what
    joins them would not.
    """
    repeated = list(blocks(model))
    single = not all(list(block.children()) for block in repeated)
    if not repeated or single or len({repr(block) for block in repeated}) > len({type(block) for block in repeated}):
        return [model]
    within = {id(module) for block in repeated for module in block.modules()}
    return list(_outermost(model, within))


def _outermost(module: nn.Module, within: set[int]) -> Iterator[nn.Module]:
    """Those of several modules of which all or none are `within`. A layer alone has nothing to be fused with."""
    if id(module) in within or not any(id(part) in within for part in module.modules()):
        if list(module.children()):
            yield module
    else:
        for child in module.children():
            yield from _outermost(child, within)
