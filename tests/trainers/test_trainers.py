"""Other trainers' steps: each trains the same model from the same weights, in the modes that it has."""

import pytest
import torch

from mpcore.precision import precisions
from mpcore.precision.native import FP32
from mpcore.trainers import StepTrainer, trainers
from mpcore.training.step import TrainStep

CPU = torch.device("cpu")
STEPS = [name for name in trainers.names() if issubclass(trainers[name], StepTrainer)]


def test_the_trainers_are_registered_in_the_order_of_the_tables():
    assert trainers.names() == ["plain", "fabric", "accelerate", "huggingface"]


@pytest.mark.parametrize("name", trainers.names())
def test_its_modes_are_modes_of_ours_among_them_fp32(name):
    assert "fp32" in trainers[name].modes.keys() <= set(precisions.names())


@pytest.mark.parametrize("name", STEPS)
def test_a_step_in_fp32_is_ours(name, dots):
    if reason := trainers[name].unsupported("fp32"):
        pytest.skip(reason)
    dots.build_model = lambda: torch.nn.Linear(16, 2)  # without dropout
    batch = dots.split("train", CPU).rows(slice(32))
    theirs, ours = trainers[name](dots, "fp32", CPU), TrainStep(dots, FP32(), CPU)
    losses = [[step(batch).item() for _ in range(5)] for step in (theirs, ours)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("precision", ["fp16-amp", "bf16-amp"])
def test_a_step_at_rate_zero_leaves_the_weights(name, precision, dots):
    if reason := trainers[name].unsupported(precision):
        pytest.skip(reason)
    step, batch = trainers[name](dots, precision, CPU), dots.split("train", CPU).rows(slice(32))
    step.set_rate(0.0)
    before = [p.detach().clone() for p in step.model.parameters()]
    step(batch)
    assert all(torch.equal(p, b) for p, b in zip(step.model.parameters(), before, strict=True))
    step.set_rate(1.0)
    step(batch)
    step(batch)
    assert not all(torch.equal(p, b) for p, b in zip(step.model.parameters(), before, strict=True))


def test_what_is_not_there_is_said(monkeypatch):
    assert trainers["plain"].unsupported("fp16-manual") == "plain PyTorch has no fp16-manual"
    monkeypatch.setattr(trainers["fabric"], "packages", ("no_such_library",))
    assert trainers["fabric"].unsupported("fp32") == "no_such_library is not installed: pip install 'mpcore[parity]'"
