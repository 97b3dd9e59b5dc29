"""Loss scales: torch's for `fp16-amp`, our own for `fp16-manual`, which must do the same and has a floor."""

import pytest
import torch

from mpcore.precision import scale
from mpcore.precision.scale import LossScale


@pytest.fixture
def losses(monkeypatch):
    monkeypatch.setattr(scale, "GROWTH_INTERVAL", 3)
    return LossScale(torch.device("cpu"))


def step(loss_scale, *gradients):
    tensors = [torch.tensor(g) for g in gradients]
    loss_scale.unscale_(tensors)
    loss_scale.update()
    return tensors


def test_gradients_are_divided_by_the_scale(losses):
    a, b = step(losses, [2.0**16, 2.0**17], [0.0])
    assert a.tolist() == [1.0, 2.0]
    assert b.tolist() == [0.0]
    assert losses.found_inf.item() == 0


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_the_scale_halves_after_a_gradient_that_is_not_finite(losses, bad):
    step(losses, [1.0], [bad])
    assert losses.found_inf.item() == 1
    assert losses.scale.item() == 2.0**15
    assert losses.skipped.item() == 1


def test_the_scale_doubles_after_enough_good_steps_in_a_row(losses):
    seen = []
    for gradient in ([1.0], [1.0], [float("inf")], [1.0], [1.0], [1.0], [1.0]):
        step(losses, gradient)
        seen.append(losses.scale.item())
    assert seen == [2.0**16, 2.0**16, 2.0**15, 2.0**15, 2.0**15, 2.0**16, 2.0**16]


def test_the_scale_has_a_floor(losses):
    for _ in range(40):
        step(losses, [float("inf")])
    assert losses.scale.item() == 1.0
    assert losses.skipped.item() == 40


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}], ids=["default", "foreach", "fused"])
def test_torch_s_scaler_skips_on_an_overflow_and_grows_after_its_interval(options):
    weight = torch.ones(4, requires_grad=True)
    optimiser = torch.optim.AdamW([weight], lr=0.1, **options)
    scaler = torch.amp.GradScaler("cpu", growth_interval=2)

    def one(factor):
        optimiser.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimiser)
        scaler.update()

    one(1.0)
    before, taken = weight.detach().clone(), int(optimiser.state[weight]["step"])
    one(float("inf"))
    assert torch.equal(weight, before)
    assert int(optimiser.state[weight]["step"]) == taken
    assert scaler.get_scale() == 2.0**15
    one(1.0)
    one(1.0)
    assert scaler.get_scale() == 2.0**16
    assert not torch.equal(weight, before)
