"""`fp16-manual` and `bf16-manual`."""

import pytest
import torch
from torch import nn

from mpcore.precision.master import BF16MasterWeights, FP16MasterWeights
from mpcore.records import Recipe
from mpcore.workloads import cross_entropy


@pytest.fixture(params=[FP16MasterWeights, BF16MasterWeights])
def mode(request):
    return request.param


def train(precision, model, batch, steps=1):
    for _ in range(steps):
        with precision.forward():
            loss = cross_entropy(model(batch[0]), batch[1])
        precision.backward(loss)
        precision.update()


def test_the_model_is_16_bit_and_its_masters_are_the_weights_before_the_cast(mode, model, recipe):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    precision = mode()
    precision.prepare(model, recipe)
    assert {p.dtype for p in model.parameters()} == {mode.dtype}
    assert all(torch.equal(master, before[name]) for name, master in precision.weights().items())
    assert list(precision.weights()) == list(before)


def test_the_model_s_weights_are_the_rounded_masters_after_a_step(mode, model, batch, recipe):
    precision = mode()
    precision.prepare(model, recipe)
    train(precision, model, batch, steps=3)
    for name, p in model.named_parameters():
        assert torch.equal(p, precision.weights()[name].to(mode.dtype))
        assert p.grad is None


def test_small_updates_arrive_in_the_masters(mode):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    precision = mode()
    precision.prepare(layer, Recipe(epochs=1, batch_size=1, learning_rate=1e-3, optimiser="SGD", weight_decay=0.0))
    for _ in range(100):
        precision.backward(-0.1 * layer(torch.ones(1, 1)).float().sum())
        precision.update()
    assert precision.weights()["weight"].item() == pytest.approx(1.01, abs=2e-5)


def test_batch_norm_stays_fp32_and_takes_16_bit_inputs(mode, recipe):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 4))
    precision = mode()
    precision.prepare(model, recipe)
    seen = []
    model[1].register_forward_hook(lambda _module, args, out: seen.append((args[0].dtype, out.dtype)))
    train(precision, model, (torch.randn(8, 1, 8, 8), torch.randint(0, 4, (8,))))
    assert seen == [(mode.dtype, mode.dtype)]
    assert {model[1].weight.dtype, model[1].running_mean.dtype} == {torch.float32}
    assert torch.equal(model[1].weight, precision.weights()["1.weight"])
    assert not torch.equal(model[1].weight, torch.ones(4))


def test_a_weight_that_the_loss_does_not_reach_stays(mode, model, batch, recipe):
    model.unused = nn.Linear(2, 2)
    model.forward = lambda x: model[3](model[2](model[1](model[0](x))))
    before = model.unused.weight.detach().clone()
    precision = mode()
    precision.prepare(model, recipe)
    train(precision, model, batch)
    assert torch.equal(precision.weights()["unused.weight"], before)


def test_frozen_weights_are_left_alone(mode, model, batch, recipe):
    model[0].requires_grad_(False)
    before = model[0].weight.detach().clone()
    precision = mode()
    precision.prepare(model, recipe)
    train(precision, model, batch, steps=2)
    assert list(precision.weights()) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert torch.equal(model[0].weight, before.to(mode.dtype))


def test_shared_weights_stay_shared(mode, recipe):
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    precision = mode()
    precision.prepare(model, recipe)
    train(precision, model, (torch.randn(8, 4), torch.randint(0, 4, (8,))))
    assert model[0].weight is model[1].weight
    assert list(precision.weights()) == ["0.weight", "0.bias", "1.bias"]


def test_a_kept_layer_is_fp32_and_trains(mode, model, batch, recipe):
    precision = mode(keep_fp32=["3"])
    precision.prepare(model, recipe)
    before = model[3].weight.detach().clone()
    train(precision, model, batch)
    assert model[3].weight.dtype == torch.float32
    assert not torch.equal(model[3].weight, before)


def test_an_overflow_skips_and_the_next_step_is_good(model, batch, recipe):
    precision = FP16MasterWeights()
    precision.prepare(model, recipe)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    precision.backward(cross_entropy(model(batch[0]), batch[1]) * torch.inf)
    precision.update()
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    train(precision, model, batch)
    assert not all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.isfinite().all() for p in model.parameters())
    assert precision.state().skipped_steps == 1


def test_a_clipped_overflow_to_nan_costs_one_step(model, batch, recipe):
    """What lies between the parts of a flat gradient is 0 again, and not NaN for ever."""
    precision = FP16MasterWeights(max_norm=1.0)
    precision.prepare(model, recipe)
    precision.backward(cross_entropy(model(batch[0]), batch[1]) * torch.nan)
    precision.update()
    train(precision, model, batch, steps=2)
    assert precision.state().skipped_steps == 1
