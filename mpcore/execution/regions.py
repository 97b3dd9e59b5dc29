"""The parts of a model: its blocks that repeat, and what is to be compiled by itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

AROUND = 0.02
"""Of all weights, at most: those that are multiplied outside of blocks, where these and what lies around them are compiled one
by one. The head of a language model has more, and the passes over its logits take as long as many blocks, unless a compiler
fuses them."""


@dataclass(frozen=True)
class Regions:
    """compiled: modules, each by itself. between: modules that call some of these, whose own code runs as it is."""

    compiled: list[nn.Module]
    between: list[nn.Module]


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The repeated ones: the members of the outermost lists of modules of one class, which have a forward."""
    for child in model.children():
        members = list(child.children())
        alike = len(members) > 1 and len({type(member) for member in members}) == 1
        if isinstance(child, nn.ModuleList) and alike and _has_forward(members[0]):
            yield from members
        else:
            yield from blocks(child)


def regions(model: nn.Module) -> Regions:
    """What is compiled by itself, so that blocks share the code of the first: they, and what lies around them.

    Where that weighs much, the model is compiled but for the module that calls the blocks. Where it calls them itself, or such
    modules in a loop, it is compiled as a whole. So it is where no blocks repeat, where they hold less than half of its layers,
    or where those of one class differ. Each would be compiled then, and what joins them would not.
    """
    whole, repeated = Regions([model], []), list(blocks(model))
    within = {id(module) for block in repeated for module in block.modules()}
    layers = [module for module in model.modules() if not list(module.children())]
    single = any(not list(block.children()) for block in repeated)
    differ = len({repr(block) for block in repeated}) > len({type(block) for block in repeated})
    if single or differ or 2 * sum(id(layer) in within for layer in layers) <= len(layers):
        return whole
    around = sum(_weights(layer) for layer in layers if id(layer) not in within)
    if around <= AROUND * sum(weight.numel() for weight in model.parameters()) or not _has_forward(model):
        return Regions(list(_outermost(model, within)), [])
    callers = list(_callers(model, within))
    if model in callers or any(caller in _listed(model) for caller in callers):
        return whole
    return Regions([model, *(region for caller in callers for region in _outermost(caller, within))], callers)


def _outermost(module: nn.Module, within: set[int]) -> Iterator[nn.Module]:
    """The largest modules that can be called, and lie all within or all outside. A layer alone is left out: it has nothing to
    be fused with. within: the ids of modules in blocks."""
    alike = id(module) in within or not any(id(part) in within for part in module.modules())
    if not (alike and _has_forward(module)):
        for child in module.children():
            yield from _outermost(child, within)
    elif list(module.children()):
        yield module


def _callers(module: nn.Module, within: set[int]) -> Iterator[nn.Module]:
    """The smallest modules that can be called, and hold blocks."""
    smaller = [found for child in module.children() if id(child) not in within for found in _callers(child, within)]
    if smaller:
        yield from smaller
    elif _has_forward(module) and any(id(part) in within for part in module.modules()):
        yield module


def _listed(model: nn.Module) -> list[nn.Module]:
    """Members of lists, which a loop calls: torch compiles no function that is left in its loop."""
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.Sequential))
    return [member for members in lists for member in members.children()]


def _weights(layer: nn.Module) -> int:
    """That are multiplied: those of a table are looked up."""
    return 0 if isinstance(layer, nn.Embedding) else sum(weight.numel() for weight in layer.parameters())


def _has_forward(module: nn.Module) -> bool:
    """Whether it can be called. A list of modules cannot."""
    return type(module).forward is not nn.Module.forward
