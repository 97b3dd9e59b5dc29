"""What is averaged piece by piece while the backward pass runs."""

import gc
import weakref

import torch
from torch import nn

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
