"""The step in FP64 that others are held against, and what rounding alone does to it."""

import itertools
import re
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.measure.draws import DrawnInFP32
from mpcore.measure.observation import observe
from mpcore.measure.rounding import Rounded
from mpcore.measure.yardstick import Yardstick, tensor_errors
from mpcore.precision.master import BF16MasterWeights, FP16MasterWeights
from mpcore.precision.native import FP32
from mpcore.precision.pure import FP64
from mpcore.records import Recipe
from mpcore.training.step import TrainStep
from mpcore.workloads import cross_entropy

CPU = torch.device("cpu")


def yardstick(workload, cpu):
    batch = workload.split("train", cpu).rows(slice(32))
    return Yardstick(TrainStep(workload, FP64(), cpu, dropout=False), batch)


class Backwards(nn.Module):
    """Registers last what it calls first; `inner` is never called itself."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(16, 2)
        self.around = nn.ModuleDict({"inner": nn.Linear(16, 16)})
        self.first = nn.Linear(16, 16)

    def forward(self, x):
        x = F.gelu(self.first(x))
        return self.last(F.linear(x, self.around["inner"].weight))


def test_tensors_stand_in_the_order_of_the_forward_pass(dots, cpu):
    dots.build_model = Backwards
    layers = yardstick(dots, cpu).layers
    called = [name for name in layers if not name.startswith("around")]
    assert called == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert set(layers) - set(called) == {"around.inner.weight", "around.inner.bias"}
    assert layers["first.weight"] == "Linear"


@pytest.mark.parametrize("digits", [4, 8, 11, 24])
def test_what_is_rounded_has_so_many_digits(digits):
    values = torch.randn(1000, dtype=torch.float64) * torch.logspace(-200, 200, 1000, dtype=torch.float64)
    with Rounded(digits, CPU, seed=0):
        rounded = values * 1.0
    mantissa, _ = torch.frexp(rounded)
    assert torch.equal(mantissa * 2**digits, (mantissa * 2**digits).round())
    assert 0 < float(((rounded - values) / values).abs().max()) <= 2.0 ** (1 - digits)


def test_what_needs_no_rounding_stays():
    values = torch.tensor([0.0, 1.0, -0.75, torch.inf, torch.nan, 3e-310], dtype=torch.float64)
    with Rounded(8, CPU, seed=0) as rounding:
        rounded, whole = values * 1.0, torch.arange(3) + 1
        rounding.on = False
        third = torch.ones((), dtype=torch.float64) / 3
    assert torch.equal(rounded[:3], values[:3])
    assert rounded[3].isinf()
    assert rounded[4].isnan()
    assert whole.tolist() == [1, 2, 3]
    assert third == 1 / 3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_what_is_kept_on_the_host_is_rounded_no_more():
    gpu = torch.device("cuda", 0)
    values = torch.full((4,), 0.3, dtype=torch.float64)
    with Rounded(8, gpu, seed=0):
        on_host, on_gpu = values * 1.0, values.to(gpu)
    assert torch.equal(on_host, values)
    assert not torch.equal(on_gpu.cpu(), values)


@pytest.mark.parametrize("observed", [nullcontext, DrawnInFP32], ids=["alone", "in a step that is observed"])
def test_numbers_drawn_between_0_and_1_stay(observed):
    """In FP32 they are drawn as they are used: a mask by rounded ones would be another."""

    def drawn():
        torch.manual_seed(0)
        with observed():
            return torch.rand(1000), torch.rand_like(torch.empty(1000)), torch.empty(1000).uniform_()

    with Rounded(8, CPU, seed=0, dtype=torch.float32):
        rounded = drawn()
    for found, expected in zip(rounded, drawn(), strict=True):
        assert torch.equal(found, expected)


def test_what_is_complex_is_rounded_in_both_parts_and_what_is_sparse_is_left():
    with Rounded(8, CPU, seed=0):
        rounded = torch.full((4,), 0.3 + 0.7j, dtype=torch.complex128) * 1.0
        sparse = torch.eye(2, dtype=torch.float64).to_sparse() * 0.3
    parts = torch.view_as_real(rounded) * 2.0**9
    assert torch.equal(parts, parts.round())
    assert sparse.to_dense()[0, 0] == pytest.approx(0.3)


class Complex(nn.Module):
    """wrong: whether the imaginary part of its weight gets a gradient."""

    wrong = False

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 2, dtype=torch.complex64) / 4)

    def forward(self, x):
        weight = self.weight
        if self.wrong and weight.dtype != torch.complex128:
            weight = torch.complex(weight.real, weight.imag.detach())
        return (x.to(weight.dtype) @ weight).abs()


@pytest.mark.parametrize("wrong", [False, True])
def test_both_parts_of_a_complex_gradient_are_compared(dots, cpu, monkeypatch, wrong):
    dots.build_model = Complex
    truth = yardstick(dots, cpu).observed.gradients
    monkeypatch.setattr(Complex, "wrong", wrong)
    found = observe(TrainStep(dots, FP32(), cpu, dropout=False), dots.split("train", cpu).rows(slice(32)), updates=1)
    assert truth["weight"].shape == (16, 2, 2)
    assert (tensor_errors(found.gradients, truth)["weight"] > 0.1) is wrong


def test_a_gradient_may_be_sparse(dots, cpu):
    dots.build_model = lambda: nn.Sequential(nn.Embedding(8, 4, sparse=True), nn.Flatten(), nn.Linear(64, 2))
    dots.recipes = {"tiny": Recipe(epochs=1, batch_size=32, learning_rate=0.1, optimiser="SGD", weight_decay=0.0)}
    dots.loss = lambda model, batch: cross_entropy(model((batch["x"] > 0).long()), batch["label"])
    assert 0 < yardstick(dots, cpu).rounding_errors(2.0**-8).gradients["0.weight"] < 0.1


def test_rounding_errors_are_as_large_as_the_round_off(dots, cpu):
    """A digit fewer makes them twice as large. Of one product and a softmax there are a few in a row."""
    dots.build_model = lambda: nn.Linear(16, 2)
    measured = yardstick(dots, cpu)
    errors = {digits: measured.rounding_errors(2.0**-digits).gradients["weight"] for digits in (8, 11)}
    assert 0.1 * 2**-8 < errors[8] < 4 * 2**-8
    assert errors[8] / errors[11] == pytest.approx(8, rel=0.6)
    assert measured.rounding_errors(2.0**-8) is measured.rounding_errors(2.0**-8)


@pytest.mark.parametrize("mode", [BF16MasterWeights, FP16MasterWeights])
def test_rounding_does_to_twenty_updates_what_the_format_does(dots, cpu, mode):
    """The weights are rounded anew at each step, and their masters are not: what is too little for a weight adds up."""
    dots.build_model = lambda: nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 2))
    held = yardstick(dots, cpu)
    found = observe(TrainStep(dots, mode(), cpu, dropout=False), held._batch, learning_rate=held.observed.learning_rate)
    errors = tensor_errors(found.updates, held.observed.updates)
    alone = held.rounding_of_updates(mode().roundoff())
    assert max(errors.values()) > 1e-3
    assert all(error < 3 * alone.tensors[name] for name, error in errors.items())
    assert max(alone.tensors.values()) < 6 * max(errors.values())
    assert alone.whole / 6 < held.update_error(found) < 3 * alone.whole
    assert held.rounding_of_updates(mode().roundoff()) is alone


class Lion(torch.optim.Optimizer):
    """Fills its state as it is made, and counts for all weights."""

    def __init__(self, groups):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0})
        self.state["all"] = {"steps": 0}
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["mean"] = torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure=None):
        self.state["all"]["steps"] += 1
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                mean = self.state[p]["mean"]
                p.add_(mean.lerp_(p.grad, 0.1).sign(), alpha=-group["lr"] / self.state["all"]["steps"])


@pytest.mark.parametrize("kind", [Lion, torch.optim.Adagrad, torch.optim.AdamW])
def test_an_optimiser_is_put_back_to_what_it_was_as_it_was_made(dots, cpu, monkeypatch, kind):
    monkeypatch.setattr(type(dots), "optimiser", lambda self, groups: kind(groups))
    measured = yardstick(dots, cpu)
    first = observe(TrainStep(dots, FP64(), cpu, dropout=False), measured._batch, updates=1)
    for _ in range(2):
        again = observe(measured._renewed(), measured._batch, updates=1)
        assert all(torch.equal(update, again.updates[name]) for name, update in first.updates.items())
    assert 0 < measured.rounding_errors(2.0**-8).gradients["0.weight"] < 0.1


def test_a_tensor_that_should_be_nothing_is_infinitely_wrong():
    zero, one = torch.zeros(2), torch.ones(2)
    assert tensor_errors({"a": one, "b": zero}, {"a": zero, "b": zero, "c": one}) == {"a": torch.inf, "b": 0.0, "c": 1.0}


def test_a_loss_that_draws_nothing_is_not_random(dots, cpu):
    """Its dropout is off."""
    measured = yardstick(dots, cpu)
    assert measured.remark is None
    assert not measured.draws


def test_a_loss_that_is_random_without_dropout_is_known(dots, cpu):
    dots.loss = lambda model, batch: cross_entropy(model(batch["x"] + torch.randn_like(batch["x"])), batch["label"])
    measured = yardstick(dots, cpu)
    assert measured.draws
    assert measured.remark.startswith("its loss is random without dropout: two in FP64")
    assert "Every format was given the same random numbers" in measured.remark


def test_random_numbers_that_cannot_be_put_back_are_told(dots, cpu):
    generator = torch.Generator().manual_seed(0)
    dots.loss = lambda model, batch: model(batch["x"]).square().mean() * torch.rand((), generator=generator)
    assert "All errors hold that, too" in yardstick(dots, cpu).remark


def test_losses_that_differ_by_little_are_told_apart(dots, cpu):
    count = itertools.count()
    dots.loss = lambda model, batch: model(batch["x"]).square().mean() * (1 + 1e-8 * next(count))
    one, other = re.search(r"are (\S+) and (\S+)\. ", yardstick(dots, cpu).remark).groups()
    assert one != other


class Remembering(nn.Module):
    """Its forward moves a buffer that it computes with, as spectral norm does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 2)
        self.register_buffer("gain", torch.ones(()))

    def forward(self, x):
        self.gain.mul_(1.5)
        return self.layer(x) * self.gain


class Teaching(nn.Module):
    """Its forward draws a teacher after it, which no optimiser trains."""

    def __init__(self):
        super().__init__()
        self.layer, self.teacher = nn.Linear(16, 2), nn.Linear(16, 2).requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            for taught, weight in zip(self.teacher.parameters(), self.layer.parameters(), strict=True):
                taught.lerp_(weight.to(taught.dtype), 0.05)
        return self.layer(x) - 0.1 * self.teacher(x)


@pytest.mark.parametrize("kind", [Remembering, Teaching])
def test_a_model_that_remembers_is_not_random(dots, cpu, kind):
    dots.build_model = kind
    assert yardstick(dots, cpu).remark is None
