"""A model small enough to see through, and a recipe for it."""

import pytest
import torch
from torch import nn

from mpcore.records import Recipe


@pytest.fixture
def recipe():
    return Recipe(epochs=1, batch_size=8, learning_rate=1e-2, weight_decay=0.0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randn(8, 16), torch.randint(0, 4, (8,))
