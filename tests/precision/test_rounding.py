"""`bf16-sr` and `bf16-kahan`: small updates arrive in BF16 weights."""

import optimi
import pytest
import torch
from torch import nn

from mpcore.precision import Inapplicable
from mpcore.precision.rounding import KahanAdam, KahanSummation, StochasticRounding
from mpcore.records import Recipe
from mpcore.workloads import cross_entropy

SMALL = Recipe(epochs=1, batch_size=1, learning_rate=1e-4, weight_decay=0.0)


@pytest.fixture(params=[StochasticRounding, KahanSummation])
def mode(request):
    return request.param


def test_everything_is_stored_in_bf16(mode, model, batch, recipe):
    precision = mode()
    precision.prepare(model, recipe)
    precision.backward(cross_entropy(model(batch[0]), batch[1]))
    precision.update()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    (whole,) = (g.whole for g in precision.groups)
    assert {v.dtype for k, v in precision.optimiser.state[whole].items() if k != "step"} == {torch.bfloat16}
    assert precision.optimiser.state[whole]["step"].item() == 1


@pytest.mark.parametrize(("mode", "tolerance"), [(StochasticRounding, 2e-3), (KahanSummation, 5e-4)])
def test_a_hundred_updates_of_a_ten_thousandth_arrive(mode, tolerance):
    """In the mean over 256 weights: by chance, or with what waits beside a weight (the nearest BF16 numbers are 1.0078 and
    1.0156)."""
    torch.manual_seed(0)
    layer = nn.Linear(256, 1, bias=False)
    nn.init.ones_(layer.weight)
    precision = mode()
    precision.prepare(layer, SMALL)
    for _ in range(100):
        precision.backward(-layer(torch.ones(1, 256)).float().sum())
        precision.update()
    arrived = layer.weight.float()
    if mode is KahanSummation:
        (state,) = precision.optimiser.state.values()
        arrived = arrived + state["compensation"].float()[:256]
    assert arrived.mean().item() == pytest.approx(1.01, abs=tolerance)


def test_without_decay_it_is_optimi_s(recipe):
    torch.manual_seed(0)
    ours, theirs = (torch.randn(4096).bfloat16() for _ in range(2))
    theirs.copy_(ours)
    start = ours.float()
    first = KahanAdam([ours], torch.tensor(1e-3), 0.0, decoupled=True)
    second = optimi.AdamW([theirs.requires_grad_()], lr=1e-3, weight_decay=0, betas=(0.9, 0.999), eps=1e-8, kahan_sum=True)
    for _ in range(20):
        gradient = torch.randn(4096).bfloat16()
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        first.step()
        second.step()
    moved, expected = ours.float() - start, theirs.detach().float() - start
    assert expected.norm() > 0.1
    assert (moved - expected).norm() < 0.15 * expected.norm()


def test_decay_arrives_where_a_product_would_round_it_away():
    weight = torch.ones(8).bfloat16()
    optimiser = KahanAdam([weight], torch.tensor(1e-3), 0.1, decoupled=True)
    for _ in range(100):
        weight.grad = torch.zeros(8).bfloat16()
        optimiser.step()
    assert (weight.float() + optimiser.state[weight]["compensation"].float()).mean().item() == pytest.approx(0.99, abs=5e-4)
    assert torch.equal(torch.ones(8).bfloat16() * (1 - 1e-4), torch.ones(8).bfloat16())


def test_a_decay_that_is_not_decoupled_goes_through_the_moments():
    weight = torch.ones(8).bfloat16()
    optimiser = KahanAdam([weight], torch.tensor(1e-2), 0.1, decoupled=False)
    weight.grad = torch.zeros(8).bfloat16()
    optimiser.step()
    assert weight.float().mean().item() == pytest.approx(0.99, abs=4e-3)


def test_an_optimiser_that_it_has_not_is_said(mode, model):
    with pytest.raises(Inapplicable, match=rf"^{mode.name} has Adam and AdamW for optimisers, and not SGD$"):
        mode().prepare(model, Recipe(epochs=1, batch_size=1, learning_rate=1, optimiser="SGD"))


def test_a_kept_layer_is_fp32(mode, model, batch, recipe):
    precision = mode(keep_fp32=["1"])
    precision.prepare(model, recipe)
    before = model[1].weight.detach().clone()
    precision.backward(cross_entropy(model(batch[0]), batch[1]))
    precision.update()
    assert model[1].weight.dtype == torch.float32
    assert model[0].weight.dtype == torch.bfloat16
    assert len(precision.groups) == 2
    assert (model[1].weight - before).abs().max().item() == pytest.approx(recipe.learning_rate, rel=1e-2)


def test_without_torchao_the_reason_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert StochasticRounding.unsupported(torch.device("cpu")) == (
        "bf16-sr needs torchao, which is not installed: pip install 'mpcore[modes]'"
    )
