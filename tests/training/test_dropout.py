"""A training without dropout is the training's own forward, in which dropout alone is the identity."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mpcore.device.functions import follow
from mpcore.training.dropout import WithoutDropout

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
POSITIONS = {
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, None, 0.5),
    "attention by name": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    "dropout that is always on": lambda x: F.dropout(x, 0.5, True),
    "dropout in place": lambda x: F.dropout(x.clone(), 0.5, inplace=True),
    "torch.dropout": lambda x: torch.dropout(x, 0.5, True),
    "native dropout": lambda x: torch.native_dropout(x, 0.5, True)[0],
}
MODULES = {
    "dropout": nn.Dropout(0.5),
    "dropout of channels": nn.Dropout1d(0.5),
    "alpha dropout": nn.AlphaDropout(0.5),
    "alpha dropout of channels": nn.FeatureAlphaDropout(0.5),
    "recurrent": nn.LSTM(8, 8, num_layers=2, dropout=0.5),
    "gated": nn.GRU(8, 8, num_layers=2, dropout=0.5),
    "encoder layer": nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5),
}


@pytest.mark.parametrize("function", POSITIONS.values(), ids=POSITIONS)
def test_functional_dropout_is_the_identity(function):
    assert not torch.equal(function(X), function(X))
    with WithoutDropout():
        assert torch.equal(function(X), function(X))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_dropout_of_a_module_in_training_is_the_identity(module):
    first, second = (_output(module(X)) for _ in range(2))
    assert not torch.equal(first, second)
    with WithoutDropout():
        inside = _output(module(X))
    assert module.training
    torch.testing.assert_close(inside, _output(module.eval()(X)))


def test_attention_with_weights_that_are_asked_for_has_no_dropout():
    attention = nn.MultiheadAttention(8, 2, dropout=0.5)
    with WithoutDropout():
        (first, weights), (second, _) = (attention(X, X, X) for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_has_none_either_when_it_runs_once_more(reentrant):
    class Block(nn.Module):
        seen = []

        def forward(self, x):
            self.seen.append(F.dropout(x, 0.5))
            return self.seen[-1].square()

    block, mode, x = Block(), WithoutDropout(), X.clone().requires_grad_()
    follow(mode, block)
    with mode:
        checkpoint(block, x, use_reentrant=reentrant).sum().backward()
    assert len(block.seen) == 2
    assert torch.equal(block.seen[1], X)
    assert not torch.equal(F.dropout(X, 0.5), X)


def test_other_random_numbers_stay_random():
    with WithoutDropout():
        assert not torch.equal(torch.randn_like(X), torch.randn_like(X))


def _output(found):
    return found[0] if isinstance(found, tuple) else found
