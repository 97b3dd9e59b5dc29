"""What is averaged piece by piece while the backward pass runs."""

import copy
import gc
import weakref

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mpcore.precision import precisions
from mpcore.records import Recipe
from mpcore.strategies import strategies
from mpcore.strategies.ddp import DataParallel


def test_its_hooks_keep_no_step_alive(monkeypatch):
    """torch holds the hooks of a weight where the collector does not look."""
    monkeypatch.setattr(DataParallel, "wrap", lambda self, whole, precision: whole)
    strategy, mode = strategies["ddp-overlap"](torch.device("cpu")), precisions["bf16-manual"]()
    model = nn.Linear(8, 8)
    mode.prepare(model, Recipe(epochs=1, batch_size=8, learning_rate=1e-3))
    strategy.wrap(model, mode)
    model.strategy = strategy  # as a wrapped model does
    assert strategy._pieces
    seen = weakref.ref(strategy), weakref.ref(model.weight)
    del strategy, mode, model
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


class Shared(nn.Module):
    """One layer in two checkpoints, each a backward pass of its own, and one that comes between."""

    def __init__(self):
        super().__init__()
        self.tied, self.between = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = checkpoint(self.tied, x, use_reentrant=True)
        return checkpoint(self.tied, self.between(x).relu(), use_reentrant=True)


class Sent:
    def wait(self):
        """At once."""


def test_a_weight_in_two_checkpoints_is_averaged_once_all_of_its_gradient_is_there(monkeypatch):
    monkeypatch.setattr(DataParallel, "wrap", lambda self, whole, precision: whole)
    monkeypatch.setattr(DataParallel, "_check_reached", lambda self: None)
    monkeypatch.setattr("mpcore.strategies.overlapped.PIECE_BYTES", 1)
    averaged = []
    monkeypatch.setattr(
        "mpcore.strategies.overlapped.average",
        lambda gradient, async_op: averaged.append((gradient, float(gradient.norm()))) or Sent(),
    )
    strategy, mode, model = strategies["ddp-overlap"](torch.device("cpu")), precisions["bf16-manual"](), Shared()
    plain = copy.deepcopy(model).bfloat16()
    mode.prepare(model, Recipe(epochs=1, batch_size=8, learning_rate=1e-3))
    strategy.wrap(model, mode)
    x = torch.randn(8, 8, dtype=torch.bfloat16).requires_grad_()
    plain(x).float().square().mean().backward()
    expected = {name: p.grad.float() for name, p in plain.named_parameters()}
    for _ in range(2):
        averaged.clear()
        with strategy.micro_batch(last=True):
            mode.backward(model(x).float().square().mean())
        early = len(averaged)
        strategy.reduce()
        assert {name: gradient.tolist() for name, gradient in mode.gradients().items()} == {
            name: gradient.tolist() for name, gradient in expected.items()
        }
        assert all(float(gradient.norm()) == when_sent for gradient, when_sent in averaged)
        mode.update()
        mode.model.load_state_dict(plain.state_dict())
    assert early
