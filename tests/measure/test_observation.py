"""How far a step is from FP64."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.measure import observation
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.observation import kept, moved_from, observe
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.precision import precisions
from mpcore.precision.native import FP32
from mpcore.precision.pure import FP64
from mpcore.records import Case, Recipe, Requirements
from mpcore.training.step import TrainStep


@pytest.fixture
def plain(dots):
    """Trained with SGD."""
    dots.recipes = {"tiny": Recipe(epochs=1, batch_size=32, learning_rate=0.1, optimiser="SGD", weight_decay=0.0)}
    return dots


def yardstick(workload, cpu):
    batch = workload.split("train", cpu).rows(slice(32))
    return Yardstick(TrainStep(workload, FP64(), cpu, dropout=False), batch)


def observed(workload, precision, cpu, **options):
    return observe(TrainStep(workload, precision, cpu, dropout=False), workload.split("train", cpu).rows(slice(32)), **options)


ON_GPU = pytest.param(
    True, marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
)


@pytest.mark.parametrize("on_gpu", [False, ON_GPU])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (4,), (5, 3), (2, 3, 4)])
def test_what_goes_to_the_host_part_by_part_arrives_whole(monkeypatch, cpu, shape, on_gpu):
    there = torch.device("cuda" if on_gpu else "cpu")
    room = torch.empty(32, dtype=torch.uint8, pin_memory=on_gpu)  # for four entries
    monkeypatch.setattr(observation, "_room", lambda: room)
    monkeypatch.setattr(observation, "_goes_to_host", lambda *_: True)
    before, now = torch.randn(shape, dtype=torch.float64), torch.randn(shape).to(there)
    if now.dim() > 1:
        now = now.transpose(0, 1).contiguous().transpose(0, 1)
    arrived = kept(now, cpu)
    expected = now.cpu().double() - before
    assert torch.equal(arrived, now.cpu())
    assert arrived.dtype == torch.float32
    assert torch.equal(moved_from(before, now), expected)


def test_the_updates_of_sgd_are_as_large_as_adam_s(plain, cpu):
    """With Adam's learning rate they would be gradients' size smaller, and lost in the weights of every mode."""
    updates = observed(plain, FP64(), cpu, updates=1).updates.values()
    mean = sum(float(u.square().sum()) for u in updates) / sum(u.numel() for u in updates)
    assert math.sqrt(mean) == pytest.approx(1e-5)


@pytest.mark.parametrize(("name", "lost"), [("fp32", False), ("bf16-manual", False), ("bf16-true", True)])
def test_of_sgd_s_updates_those_without_masters_are_lost(plain, cpu, name, lost):
    setup = Setup(Case(workload="dots", precision=name, size="tiny"), plain, cpu, Requirements())
    numerics = measure_numerics(setup, plain.split("train", cpu).rows(slice(32)), yardstick(plain, cpu))
    assert (numerics.update_error > 0.4) is lost
    assert (numerics.update_error < 0.05) is not lost


def test_what_is_zero_is_no_division_by_it(dots, cpu):
    """A model that has nothing left to learn."""
    loss = type(dots).loss
    dots.loss = lambda model, batch: 0.0 * loss(dots, model, batch)
    setup = Setup(Case(workload="dots", precision="fp32", size="tiny"), dots, cpu, Requirements())
    numerics = measure_numerics(setup, dots.split("train", cpu).rows(slice(32)), yardstick(dots, cpu))
    assert (numerics.loss_error, numerics.gradient_error) == (0.0, 0.0)


class Remembering(nn.Module):
    """Its loss hangs on how many batches it has seen, and puts another tensor in a buffer's place."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 2)
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x):
        self.mean = self.mean.lerp(x.detach().mean(0).to(self.mean.dtype), 0.5)
        return self.layer(x - 4 * self.mean.to(x.dtype)) * 1e4


def test_a_step_that_is_skipped_is_not_remembered(dots, cpu):
    """Else FP16 has seen the batch more often than FP64, which skips none."""
    dots.build_model = Remembering
    truth, found = (observed(dots, precisions[name](), cpu, updates=2) for name in ("fp32", "fp16-amp"))
    assert found.skipped
    assert found.loss == pytest.approx(truth.loss, rel=1e-2)


def test_a_buffer_that_a_model_replaces_is_put_back(dots, cpu):
    dots.build_model = Remembering
    held = yardstick(dots, cpu)
    first, again = held.rounding_errors(2.0**-24), type(held)(held._renewed(), held._batch)
    assert again.observed.loss == held.observed.loss
    assert max(first.gradients.values()) < 1e-4


class Closing(FP32):
    """Its optimiser is given a closure, in which gradients are computed."""

    def backward(self, loss):
        self.loss = loss

    def step_optimiser(self):
        self.optimiser.step(closure=self.loss.backward)


def test_gradients_may_come_of_a_closure(dots, cpu):
    plain, closing = (observed(dots, mode(), cpu, updates=2) for mode in (FP32, Closing))
    assert closing.gradients.keys() == plain.gradients.keys()
    assert all(torch.equal(closing.gradients[name], plain.gradients[name]) for name in plain.gradients)


class Factors(nn.Linear):
    """A product of two factors is added to its weight, the second of which is zero at first: the first has no gradient then."""

    def __init__(self):
        super().__init__(16, 2)
        self.first, self.second = nn.Parameter(torch.randn(64, 16)), nn.Parameter(torch.zeros(2, 64))

    def forward(self, x):
        return F.linear(x, self.weight + self.second @ self.first, self.bias)


class Straying(FP32):
    """Moves the first factor by chance, as Adam does with a gradient that is all rounding."""

    def step_optimiser(self):
        super().step_optimiser()
        first = self.model.first.data
        first.add_(1e-5 * torch.randn(first.shape, generator=torch.Generator().manual_seed(0)))


def test_updates_without_a_gradient_at_first_say_nothing(dots, cpu, monkeypatch):
    """Those of the first factor are most of all that moves."""
    dots.build_model = Factors
    monkeypatch.setitem(precisions._classes, "straying", Straying)
    setup = Setup(Case(workload="dots", precision="straying", size="tiny"), dots, cpu, Requirements())
    numerics = measure_numerics(setup, dots.split("train", cpu).rows(slice(32)), yardstick(dots, cpu))
    assert numerics.update_error < 0.05
