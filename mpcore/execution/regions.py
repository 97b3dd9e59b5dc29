"""The parts of a model: its blocks that repeat, and what is to be compiled by itself."""

from collections.abc import Iterator

from torch import nn
from torch.nn.parameter import is_lazy

AROUND = 0.02
"""Of all weights, at most: those outside of blocks, embeddings left out, where the parts are compiled one by one. The head of a
language model has more. The passes over its logits take as long as many blocks, unless a compiler fuses them."""


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
    differ. Each would be compiled then, and what joins them would not. So it is where what lies around them weighs much.
    """
    repeated = list(blocks(model))
    within = {id(module) for block in repeated for module in block.modules()}
    layers = [id(module) in within for module in model.modules() if not list(module.children())]
    single = any(not list(block.children()) for block in repeated)
    differ = len({repr(block) for block in repeated}) > len({type(block) for block in repeated})
    heavy = _has_forward(model) and _weighs_much(model, within)
    if single or differ or heavy or 2 * sum(layers) <= len(layers):
        return [model]
    return list(_outermost(model, within))


def _weighs_much(model: nn.Module, within: set[int]) -> bool:
    """Whether more than `AROUND` lies around the blocks. What a lazy layer will hold is not known, and counts as much."""
    weights = list(model.parameters())
    if any(is_lazy(weight) for weight in weights):
        return True
    multiplied = (m for m in model.modules() if id(m) not in within and not isinstance(m, nn.Embedding))
    around = sum(weight.numel() for module in multiplied for weight in module.parameters(recurse=False))
    return around > AROUND * sum(weight.numel() for weight in weights)


def _outermost(module: nn.Module, within: set[int]) -> Iterator[nn.Module]:
    """The largest modules that can be called, and lie all within or all outside. A layer alone is left out: it has nothing to
    be fused with. within: the ids of modules in blocks."""
    alike = id(module) in within or not any(id(part) in within for part in module.modules())
    if not (alike and _has_forward(module)):
        for child in module.children():
            yield from _outermost(child, within)
    elif list(module.children()):
        yield module


def _has_forward(module: nn.Module) -> bool:
    """Whether it can be called. A list of modules cannot."""
    return type(module).forward is not nn.Module.forward
