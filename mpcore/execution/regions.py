"""The parts of a model: its blocks that repeat, and what is to be compiled by itself."""

from collections.abc import Iterator

from torch import nn

ALONE = 0.02
"""Of all weights, at most: those of layers that are compiled with nothing else. The head of a language model has more, and the
passes over its logits take as long as many blocks, unless a compiler fuses them."""


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The repeated ones: the members of the outermost lists of modules of one class, which have a forward."""
    for child in model.children():
        members = list(child.children())
        alike = len(members) > 1 and len({type(member) for member in members}) == 1
        if isinstance(child, nn.ModuleList) and alike and _has_forward(members[0]):
            yield from members
        else:
            yield from blocks(child)


def regions(model: nn.Module) -> list[nn.Module]:
    """What is compiled by itself, so that blocks share the code of the first: they, and what lies around them.

    It is the whole model where no blocks repeat, where they hold less than half of its layers, or where those of one class
    differ. Each would be compiled then, and what joins them would not. So it is where layers that are left alone weigh much.
    """
    repeated = list(blocks(model))
    within = {id(module) for block in repeated for module in block.modules()}
    layers = [id(module) in within for module in model.modules() if not list(module.children())]
    single = any(not list(block.children()) for block in repeated)
    differ = len({repr(block) for block in repeated}) > len({type(block) for block in repeated})
    if single or differ or 2 * sum(layers) <= len(layers):
        return [model]
    found = list(_outermost(model, within))
    alone = [module for module in found if not list(module.children())]
    if sum(map(_weights, alone)) > ALONE * _weights(model):
        return [model]
    return [module for module in found if module not in alone]


def _outermost(module: nn.Module, within: set[int]) -> Iterator[nn.Module]:
    """The largest modules that can be called, and lie all within or all outside. within: the ids of modules in blocks."""
    alike = id(module) in within or not any(id(part) in within for part in module.modules())
    if alike and _has_forward(module):
        yield module
    else:
        for child in module.children():
            yield from _outermost(child, within)


def _weights(module: nn.Module) -> int:
    """That are multiplied: a table is looked up, and fuses with nothing."""
    return 0 if isinstance(module, nn.Embedding) else sum(weight.numel() for weight in module.parameters())


def _has_forward(module: nn.Module) -> bool:
    """Whether it can be called. A list of modules cannot."""
    return type(module).forward is not nn.Module.forward
