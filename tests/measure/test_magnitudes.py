"""A loss near 0, whose terms cancel each other."""

import math

import pytest
import torch

from mpcore.gate.checks.numerics import numerics_checks
from mpcore.measure.magnitudes import Magnitudes
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.requirements import requirements_of
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.training.step import TrainStep

TERMS = torch.tensor([3.0, -2.0, 4.0, -4.5], dtype=torch.float64)  # whose sum is 0.5, and without signs 13.5
LOSSES = {
    "a sum": (lambda x: x.sum(), 13.5),
    "a mean": (lambda x: x.mean() / 2, 13.5 / 8),
    "the negative of one": (lambda x: -x.mean(), 13.5 / 4),
    "a mean by hand": (lambda x: x.sum() / len(x), 13.5 / 4),
    "in FP32": (lambda x: x.float().mean().double(), 13.5 / 4),
    "a difference": (lambda x: x[:1].sum() - x[1:2].abs().sum(), 5.0),
    "a share of one": (lambda x: 1 - x.sum() / 2, 1 + 13.5 / 2),
    "in place": (lambda x: x[2].clone().sub_(3.5), 7.5),
    "a product": (lambda x: 1e-3 * x.dot(torch.ones_like(x)), 0.0135),
    "what has one sign": (lambda x: x.square().mean() + 1, 49.25 / 4 + 1),
    "what is counted": (lambda x: x.sum() * (x > 0).sum() / (x < 9).sum(), 13.5 / 2),
    "written over": (lambda x: x.sum().exp_(), math.exp(0.5)),
    "nothing": (lambda x: x.sum() - 0.5, 14.0),
    "what is no sum": (lambda x: x.sum().exp(), math.exp(0.5)),
}


@pytest.mark.parametrize(("loss", "terms"), LOSSES.values(), ids=LOSSES.keys())
def test_what_the_terms_of_a_loss_come_to(loss, terms):
    with Magnitudes() as magnitudes:
        value = loss(TERMS.clone().requires_grad_())
    assert magnitudes.of(value.detach()) == pytest.approx(terms)


class Wrong(torch.autograd.Function):
    """Adds something to the loss, and nothing to its gradient."""

    @staticmethod
    def forward(ctx, loss, share):
        return loss + share

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.parametrize("mode", ["fp32", "bf16-amp"])
@pytest.mark.parametrize(("share", "passes"), [(0.0, True), (0.5, False)])
def test_a_surrogate_whose_ratio_is_1_is_held_to_its_terms(dots, cpu, mode, share, passes, monkeypatch):
    """The first update of PPO: advantages come to nothing, and their gradients do not."""

    def loss(model, batch):
        chosen = model(batch["x"]).float().log_softmax(-1).gather(1, batch["label"][:, None])[:, 0]
        advantage = batch["x"].sum(1)
        advantage = (advantage - advantage.mean()) / advantage.std()
        surrogate = -((chosen - chosen.detach()).exp() * advantage.detach()).mean()
        return surrogate if model[0].weight.dtype == torch.float64 else Wrong.apply(surrogate, share)

    monkeypatch.setattr(dots, "loss", loss)
    batch = dots.split("train", cpu).rows(slice(32))
    yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), batch)
    case = Case(workload="dots", precision=mode, size="tiny")
    found = measure_numerics(Setup(case, dots, cpu, requirements_of(case, dots, cpu)), batch, yardstick)
    (check,) = [check for check in numerics_checks(found) if check.metric == "loss error"]
    assert (check.status == "passed") is passes


def test_the_terms_of_a_cross_entropy_are_the_loss(dots, cpu):
    batch = dots.split("train", cpu).rows(slice(32))
    yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), batch)
    assert yardstick.terms == pytest.approx(yardstick.observed.loss, rel=1e-12)
