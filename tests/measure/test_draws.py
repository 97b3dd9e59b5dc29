"""Random numbers of a model or a loss: the same in every format, and in every step that is observed."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mpcore.measure.draws import DrawnInFP32, same_numbers
from mpcore.measure.observation import observe
from mpcore.measure.yardstick import relative_error
from mpcore.precision import precisions
from mpcore.precision.pure import FP64
from mpcore.training.step import TrainStep

DRAWS = {
    "randn": lambda dtype: torch.randn(40, dtype=dtype),
    "rand": lambda dtype: torch.rand(4, 10, dtype=dtype),
    "randn_like": lambda dtype: torch.randn_like(torch.zeros(40, dtype=dtype)),
    "rand_like, another format": lambda dtype: torch.rand_like(torch.zeros(40, dtype=torch.int32), dtype=dtype),
    "normal_": lambda dtype: torch.empty(40, dtype=dtype).normal_(1.0, 2.0),
    "normal of tensors": lambda dtype: torch.normal(torch.zeros(40, dtype=dtype), torch.ones(40, dtype=dtype)),
    "uniform_": lambda dtype: torch.empty(4, 10, dtype=dtype).uniform_(-1, 1),
    "bernoulli": lambda dtype: torch.bernoulli(torch.full((40,), 0.5, dtype=dtype)),
    "bernoulli_": lambda dtype: torch.empty(40, dtype=dtype).bernoulli_(0.25),
    "exponential_": lambda dtype: torch.empty(40, dtype=dtype).exponential_(),
    "dropout": lambda dtype: F.dropout(torch.ones(40, dtype=dtype)),
    "gumbel": lambda dtype: F.gumbel_softmax(torch.zeros(8, 5, dtype=dtype), hard=True),
    "a generator": lambda dtype: torch.randn(40, dtype=dtype, generator=torch.Generator().manual_seed(3)),
    "multinomial": lambda dtype: torch.multinomial(torch.ones(40, dtype=dtype), 20),
    "randint": lambda dtype: torch.randint(9, (40,), dtype=dtype),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_what_is_drawn_is_the_same_in_every_format(draw, dtype):
    found = []
    for each in (torch.float32, dtype):
        torch.manual_seed(0)
        with DrawnInFP32():
            found.append(draw(each))
    in_fp32, other = found
    assert other.dtype == (dtype if other.is_floating_point() else torch.int64)
    assert torch.equal(in_fp32.to(other.dtype), other)


def test_only_within_it():
    with DrawnInFP32():
        torch.manual_seed(0)
        within = torch.randn(40, dtype=torch.float64)
    torch.manual_seed(0)
    assert not torch.equal(torch.randn(40, dtype=torch.float64), within)


def test_whole_numbers_are_drawn_as_ever():
    torch.manual_seed(0)
    expected = torch.randint(9, (40,)), torch.randperm(7)
    torch.manual_seed(0)
    with DrawnInFP32():
        found = torch.randint(9, (40,)), torch.randperm(7)
    assert [t.tolist() for t in found] == [t.tolist() for t in expected]


class Noisy(nn.Module):
    """Draws from the generators of torch, NumPy and Python, and once more where a checkpoint runs it again."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 32), nn.Linear(32, 2)

    def forward(self, x):
        x = x * (1 + np.random.rand()) * (1 + random.random())
        x = checkpoint(lambda h: self.first(h + torch.randn_like(h)), x, use_reentrant=False)
        return self.last(F.gelu(x * torch.empty_like(x).bernoulli_(0.5)))


@pytest.fixture
def noisy(dots):
    dots.build_model = Noisy
    return dots


def observed(workload, mode, cpu, **options):
    step = TrainStep(workload, mode, cpu, dropout=False, **options)
    return observe(step, workload.split("train", cpu).rows(slice(32)), updates=2)


@pytest.mark.parametrize("name", ["fp32", "bf16-amp", "fp16-manual", "bf16-true"])
def test_a_model_that_draws_is_the_same_in_every_mode(noisy, cpu, name):
    """Its noise makes a quarter of the gradient where it is another."""
    truth, found = observed(noisy, FP64(), cpu), observed(noisy, precisions[name](), cpu)
    assert relative_error(found.gradients, truth.gradients) < 8 * precisions[name].roundoff()
    assert found.loss == pytest.approx(truth.loss, rel=8 * precisions[name].roundoff())


def test_each_part_of_a_batch_draws_the_same(noisy, cpu):
    step = TrainStep(noisy, precisions["fp32"](), cpu, accumulate=4)
    seen = []
    step.model.register_forward_hook(lambda *_: seen.append(torch.get_rng_state()))
    with same_numbers(step):
        step.launch(noisy.split("train", cpu).rows(slice(32)))
    assert len(seen) == 4
    assert all(torch.equal(state, seen[0]) for state in seen)
    assert "before_loss" not in vars(step)


@pytest.mark.parametrize("keep", [0.5, 0.8, 0.85, 0.9])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_what_is_dropped_by_hand_is_dropped_in_every_format(keep, dtype):
    """A number next to `keep` is on one side of it in every format."""
    kept = []
    for each in (torch.float64, dtype):
        torch.manual_seed(0)
        with DrawnInFP32():
            kept.append((torch.rand(4096, dtype=each) < keep, (keep + torch.rand(4096, dtype=each)).floor() > 0))
    assert all(torch.equal(*both) for both in zip(*kept, strict=True))
    assert kept[0][0].double().mean().item() == pytest.approx(keep, abs=0.03)
