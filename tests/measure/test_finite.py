"""What is not finite is told by its first place, its value and what the format holds, in one sentence."""

import pytest
import torch
from torch import nn

from mpcore.gate import checks
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.requirements import requirements_of
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.precision.master import MasterWeights
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.training.step import TrainStep
from mpcore.workloads import cross_entropy


@pytest.fixture
def failures(dots, cpu):
    """failures(mode): the sentences of what fails in the workload."""

    def failures(name):
        batch = dots.split("train", cpu).rows(slice(32))
        case = Case(workload="dots", precision=name, size="tiny")
        yardstick = Yardstick(TrainStep(dots, FP64(), cpu, dropout=False), batch)
        setup = Setup(case, dots, cpu, requirements_of(case, dots, cpu))
        return [check.sentence for check in checks(measure_numerics(setup, batch, yardstick)) if not check.passed]

    return failures


@pytest.fixture
def large(dots):
    """large(factor): the workload whose inputs are so many times as large, before a normalisation."""

    def large(factor):
        loss = type(dots).loss
        dots.loss = lambda model, batch: loss(dots, model, {**batch, "x": factor * batch["x"]})

    dots.build_model = lambda: nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 2))
    return large


@pytest.mark.parametrize("name", ["fp16-amp", "fp16-manual", "fp16-forward", "fp16-true"])
def test_an_output_beyond_the_format_is_told_with_its_value(failures, large, name):
    large(3e4)
    [sentence] = failures(name)
    place = "the input of the model (Sequential)" if name in ("fp16-manual", "fp16-true") else "the output of 0 (Linear)"
    assert sentence.startswith(f"dots: {place} is ")
    assert sentence.endswith(f"{'e5' if 'input' in place else 'e4'} in {name}, beyond 65504, the most that FP16 holds")


@pytest.mark.parametrize("name", ["fp32", "bf16-amp", "bf16-manual"])
def test_what_a_wider_format_holds_is_nothing_to_tell(failures, large, name):
    large(3e4)
    assert failures(name) == []


def test_the_first_scales_may_overflow(failures, dots):
    """That is how a scale is found."""
    loss = type(dots).loss
    dots.loss = lambda model, batch: 1e3 * loss(dots, model, batch)
    assert failures("fp16-amp") == failures("fp16-manual") == []


@pytest.mark.parametrize(("name", "scale"), [("fp16-manual", "1"), ("fp16-amp", "0.0625")])
def test_a_gradient_that_no_scale_makes_small_enough(failures, dots, name, scale):
    dots.build_model = lambda: nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 2))
    dots.loss = lambda model, batch: (1e10 * model(batch["x"]).float()).mean()
    [sentence] = failures(name)
    assert sentence.startswith(f"dots: the gradient of the output of 1 (Linear), scaled by {scale}, is ")
    assert sentence.endswith(f"in {name}, beyond 65504, the most that FP16 holds")


def test_a_loss_that_is_not_finite_in_any_format(failures, dots):
    dots.loss = lambda model, batch: (model(batch["x"]).float() * 0).sum().log()
    assert failures("bf16-amp") == ["dots: the loss is not finite in bf16-amp, and not in FP32"]


def test_a_result_that_a_format_makes_nan(failures, dots):
    """A difference of two infinities, though what comes out is small."""

    class Difference(nn.Module):
        def forward(self, x):
            large = x.half() * 1e5 if x.dtype != torch.float64 else x * 1e5
            return x * 1.0 + 0 * (large - large).to(x.dtype) if self.training else x

    dots.build_model = lambda: nn.Sequential(Difference(), nn.Linear(16, 2))
    [sentence] = failures("fp16-manual")
    assert sentence == "dots: the output of 0 (Difference) is not finite in fp16-manual, and not in FP32"


def test_what_is_mapped_over_rows_is_told_behind_them(failures, dots):
    """Within a `vmap` a module's output stands for many, and has no values."""

    class Mapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(16, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(1e5 * torch.func.vmap(self.inner)(x))

    dots.build_model = Mapped
    [sentence] = failures("fp16-manual")
    assert sentence.startswith("dots: the input of head (Linear) is ")


def test_an_update_that_is_not_finite_is_told_by_its_weight(failures, monkeypatch):
    update = MasterWeights.update

    def broken(self):
        update(self)
        self.groups[0].masters["3.weight"].fill_(torch.nan)

    monkeypatch.setattr(MasterWeights, "update", broken)
    [sentence] = failures("bf16-manual")
    assert sentence.startswith("dots: the update of 3.weight (Linear) is not finite in bf16-manual")


def test_what_is_infinite_after_some_steps_is_followed_there(failures, dots, monkeypatch):
    """The first two are good."""
    dots.build_model = lambda: nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 2))
    update, done = MasterWeights.update, []

    def growing(self):
        update(self)
        done.append(self)
        if done.count(self) == 2:
            with torch.no_grad():
                for weights in (self.groups[0].masters, self.groups[0].parameters):
                    weights["0.weight"].fill_(6e4)

    monkeypatch.setattr(MasterWeights, "update", growing)
    dots.loss = lambda model, batch: cross_entropy(model(batch["x"].abs()), batch["label"])
    [sentence] = failures("fp16-manual")
    assert "the output of 0 (Linear) is not finite in fp16-manual; in FP32 it is" in sentence
