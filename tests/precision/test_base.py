"""What the modes share: optimisers, support, and the base itself."""

import pytest
import torch
from torch import nn

from mpcore.precision.base import Precision, precisions
from mpcore.precision.native import FP32, TF32
from mpcore.precision.optimisers import forget
from mpcore.records import Recipe
from mpcore.training.step import TrainStep

CPU = torch.device("cpu")


def test_the_modes_are_registered_in_the_order_of_the_tables():
    assert precisions.names() == [
        "fp32", "tf32", "fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual", "fp16-forward", "fp16-true", "bf16-true",
        "bf16-sr", "bf16-kahan", "fp8", "fp8-rowwise",
    ]  # fmt: skip


def test_only_one_mode_is_a_negative_control():
    assert [name for name in precisions.names() if precisions[name].negative_control] == ["fp16-true"]


def test_a_cpu_runs_all_modes_but_three():
    assert {name for name in precisions.names() if precisions[name].unsupported(CPU)} == {"tf32", "fp8", "fp8-rowwise"}
    assert TF32.unsupported(CPU) == "tf32 needs an NVIDIA GPU of compute capability 8.0 or later; this is a cpu"


@pytest.mark.parametrize("name", ["bf16-amp", "bf16-manual", "bf16-true"])
def test_bf16_by_emulation_is_not_support(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "Tesla T4")
    assert precisions[name].unsupported(torch.device("cuda")) == (
        f"{name} needs native bf16 arithmetic (compute capability 8.0); this is Tesla T4 with 7.5"
    )


@pytest.mark.parametrize(("name", "roundoff"), [("fp32", 2**-24), ("tf32", 2**-11), ("fp16-amp", 2**-11), ("bf16-true", 2**-8)])
def test_round_off_is_that_of_the_format(name, roundoff):
    assert precisions[name].roundoff() == roundoff


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_the_recipe_names_the_optimiser(model, name):
    precision = FP32()
    precision.prepare(model, Recipe(epochs=1, batch_size=8, learning_rate=0.5, optimiser=name, weight_decay=0.25))
    group = precision.optimiser.param_groups[0]
    assert type(precision.optimiser).__name__ == name
    assert (group["lr"], group["weight_decay"], group["fused"]) == (0.5, 0.25, True)
    precision.set_learning_rate(0.125)
    assert group["lr"] == 0.125


@pytest.mark.parametrize("name", ["fp32", "fp16-amp", "bf16-manual", "bf16-kahan"])
def test_what_forgot_its_steps_at_rate_zero_learns_as_if_there_had_been_none(dots, cpu, name):
    batch = dots.split("train", cpu).rows(slice(32))
    fresh, stepped = (TrainStep(dots, precisions[name](), cpu, dropout=False) for _ in range(2))
    stepped.precision.set_learning_rate(0.0)
    for _ in range(10):
        stepped(batch)
    forget(stepped.precision.optimiser)
    for step in (fresh, stepped):
        step.precision.set_learning_rate(0.01)
    expected = [fresh(batch).item() for _ in range(5)]
    assert expected[-1] < expected[0]
    assert [stepped(batch).item() for _ in range(5)] == expected


def test_the_base_is_fp32(model, batch, recipe):
    ours, theirs = FP32(), torch.optim.AdamW(other := [p.detach().clone().requires_grad_() for p in model.parameters()], 1e-2)
    x, y = batch
    ours.prepare(model, recipe)
    with ours.forward():
        loss = nn.functional.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    for p, g in zip(other, gradients, strict=True):
        p.grad = g
    theirs.param_groups[0]["weight_decay"] = 0.0
    theirs.step()
    ours.backward(loss)
    ours.update()
    for mine, other_p in zip(model.parameters(), other, strict=True):
        torch.testing.assert_close(mine, other_p)
    assert all(p.grad is None for p in model.parameters())
    assert Precision.low_precision_share == 0
