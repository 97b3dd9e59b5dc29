"""What a model remembers is put back, whatever it has done with its buffers since."""

import pytest
import torch
from torch import nn

from mpcore.training.buffers import Buffers


def delete(model):
    del model.seen


CHANGES = {
    "written": lambda model: model.seen.data[0].add_(1),
    "another": lambda model: setattr(model, "seen", torch.ones(4)),
    "none": lambda model: setattr(model, "seen", None),
    "deleted": delete,
}


@pytest.mark.parametrize("size", [4, 1], ids=["whole", "expanded"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_buffer_is_put_back(change, size):
    model = nn.Module()
    model.register_buffer("seen", torch.zeros(size).expand(4))
    held, buffers = model.seen, Buffers(model)
    for _ in range(2):
        change(model)
        buffers.put_back()
        assert dict(model.named_buffers())["seen"] is held
        assert held.tolist() == [0.0] * 4


def test_a_frozen_weight_is_put_back_and_no_other():
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    before = model.weight.clone()
    buffers = Buffers(model)
    with torch.no_grad():
        model.weight.add_(1)
        model.bias.fill_(7)
    buffers.put_back()
    assert torch.equal(model.weight, before)
    assert model.bias.item() == 7


def test_a_frozen_weight_that_never_moves_is_copied_once():
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    first, second = Buffers(model), Buffers(model)
    assert first._frozen[0][1] is second._frozen[0][1]
    before = model.weight.clone()
    model.weight.data.add_(1)
    third = Buffers(model)
    first.put_back()
    assert torch.equal(model.weight, before)
    third.put_back()
    assert torch.equal(model.weight, before + 1)
