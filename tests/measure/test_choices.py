"""A model that chooses by its numbers may choose otherwise where they are rounded, in FP64 too. That is no error, and hides
none."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.gate import checks
from mpcore.measure import Bench, yardsticks
from mpcore.measure.observation import LEARNING_RATE, UPDATES
from mpcore.measure.rounded_runs import rounded_runs
from mpcore.measure.yardstick import Yardstick, relative_error
from mpcore.measure.yardsticks import OTHER_CHOICES
from mpcore.precision import Inapplicable, precisions
from mpcore.precision.pure import FP64
from mpcore.records import Case, Numerics
from mpcore.training.step import TrainStep
from mpcore.workloads import workloads

ANOTHER_EXPERT = (11, 16)
"""Seeds with which rounding to BF16 sends one vector of 32 to another expert, on the CPUs where it was tried."""


class Experts(nn.Module):
    """The better of four for each vector. part: of the gradient of `side` that 16 bits have."""

    part = 1.0

    def __init__(self):
        super().__init__()
        self.first, self.router = nn.Linear(16, 32), nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))
        self.side, self.last = nn.Linear(32, 32), nn.Linear(32, 2)

    def forward(self, x):
        hidden = F.gelu(self.first(x))
        weight, chosen = self.router(hidden).softmax(-1).max(-1)
        mixed = sum(
            ((chosen == number).to(hidden.dtype) * weight)[:, None] * expert(hidden)
            for number, expert in enumerate(self.experts)
        )
        side = self.side(mixed)
        if side.dtype == torch.bfloat16 and self.part != 1:
            side = side.detach() + self.part * (side - side.detach())
        return self.last(F.gelu(side) + hidden)


@pytest.fixture
def bench(dots, cpu, monkeypatch):
    monkeypatch.setattr(workloads, "_classes", workloads._classes | {"dots-experts": type(dots)})
    monkeypatch.setattr(type(dots), "build_model", lambda self: Experts())
    monkeypatch.setitem(type(dots).numerics_rows, "tiny", 32)
    return Bench(cpu)


def measured(bench, seed):
    numerics = bench.numerics(Case(workload="dots-experts", precision="bf16-manual", size="tiny", seed=seed))
    return numerics, [check.sentence for check in checks(numerics) if not check.passed]


def test_another_expert_is_no_error(bench):
    assert [measured(bench, seed)[1] for seed in ANOTHER_EXPERT] == [[], []]


def test_the_nearest_of_the_rounded_runs_is_the_truth_then(dots, cpu):
    """What is wanted is one of them."""
    dots.build_model = Experts
    yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), dots.split("train", cpu).rows(slice(32)))
    (wanted,) = rounded_runs(
        yardstick._renewed, yardstick._batch, 2.0**-8, lambda run: run, learning_rate=LEARNING_RATE, seeds=[5]
    )
    nearest = yardstick.nearest(wanted.gradients, 2.0**-8)
    assert relative_error(nearest.observed.gradients, wanted.gradients) == 0.0
    assert nearest.observed.made == UPDATES
    assert nearest.rounding_errors(2.0**-8) is yardstick.rounding_errors(2.0**-8)
    assert nearest.rounding_of_updates(2.0**-8) is yardstick.rounding_of_updates(2.0**-8)
    assert (yardstick.reference, nearest.reference) == ("fp64", "rounded fp64")
    assert yardstick.nearest(yardstick.observed.gradients, 2.0**-8) is None


@pytest.mark.parametrize("part", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("seed", ANOTHER_EXPERT)
def test_a_wrong_gradient_is_found_beside_it(bench, monkeypatch, seed, part):
    monkeypatch.setattr(Experts, "part", part)
    numerics, failed = measured(bench, seed)
    assert any("gradient" in sentence for sentence in failed)
    assert OTHER_CHOICES not in (numerics.remark or "")


def test_a_model_that_passes_is_held_against_no_other_run(bench, monkeypatch):
    monkeypatch.setattr("mpcore.measure.yardstick.Yardstick.nearest", lambda *_: pytest.fail("it passes"))
    assert measured(bench, 0)[1] == []


def test_where_rounding_moves_all_gradients_together_none_of_the_runs_is_another_truth(dots, cpu, monkeypatch):
    """The best of many lies on the side of a fault, without any choice."""
    dots.build_model = lambda: nn.Linear(16, 2)
    dots.loss = lambda model, batch: (model(batch["x"]) + 8).square().mean() / 64
    yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), dots.split("train", cpu).rows(slice(32)))
    wrong = {name: 0.999 * gradient for name, gradient in yardstick.observed.gradients.items()}
    assert yardstick.nearest(wrong, 2.0**-8) is None


def test_what_no_choice_changes_is_looked_for_in_no_other_run(bench, monkeypatch):
    monkeypatch.setattr(precisions["bf16-amp"], "forward", lambda self: nullcontext())
    monkeypatch.setattr(
        "mpcore.measure.yardstick.Yardstick.nearest", lambda *_: pytest.fail("its share of 16 bits is no error")
    )
    numerics = bench.numerics(Case(workload="dots-experts", precision="bf16-amp", size="tiny"))
    assert [check.metric for check in checks(numerics) if not check.passed] == ["16-bit share"]


def test_a_proof_is_of_models_that_are_held_against_fp64(bench, monkeypatch):
    def rounded(self, case):
        return Numerics.model_construct(tensors=("one",), reference="rounded fp64", remark=OTHER_CHOICES)

    monkeypatch.setattr(yardsticks.Yardsticks, "_numerics", rounded)
    with pytest.raises(Inapplicable, match="dots-experts chooses by its numbers in bf16-manual"):
        bench.found_gradients(Case(workload="dots-experts", precision="bf16-manual", size="tiny"))
