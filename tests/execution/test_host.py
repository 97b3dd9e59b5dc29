"""What the host decides in a step, and a graph would freeze."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from mpcore.execution.host import HostDecisions


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        self.last = self.linear(x)
        return self.last


def found(model, *calls):
    """What is said of the last."""
    decisions = HostDecisions(model)
    for call in calls[:-1]:
        with decisions.met():
            call()
    with decisions.frozen() as reasons:
        calls[-1]()
    return [reason.split(": expected")[0] for reason in reasons]


def test_a_step_that_decides_nothing():
    model, x = Model(), torch.ones(2, 4)

    def step():
        model(x).sum().backward()
        model.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)

    assert found(model, step, step) == []


@pytest.mark.parametrize(
    ("draw", "whose"), [(lambda: torch.rand([]), "torch"), (np.random.rand, "NumPy"), (random.random, "Python")]
)
def test_a_number_that_is_drawn_on_the_host(draw, whose):
    """Which is said, and nothing more: OPT draws in each layer, and drops none."""
    decisions = HostDecisions(Model())
    with decisions.frozen() as reasons:
        draw()
    said = f"it draws numbers on the host from the generator of {whose}, and a graph goes on with those of its capture"
    assert (reasons, decisions.drawn) == ([], [said])


def test_a_buffer_that_is_replaced():
    model = Model()

    def step():
        model.mean = 0.9 * model.mean + 0.1

    said = "the model replaces its buffer mean and does not write to it, and a graph would read the old one"
    assert found(model, step) == [said]


class Counting(torch.optim.SGD):
    def step(self, closure=None):
        self.state["all"] = self.state.get("all", 0) + 1
        return super().step(closure)


def stepping(optimiser, before=lambda: None, after=lambda: None):
    def step():
        before()
        optimiser.param_groups[0]["params"][0].sum().backward()
        optimiser.step()
        after()

    return step


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Muon])
def test_a_rate_on_the_host_of_an_optimiser_that_nobody_named(kind):
    optimiser = kind([nn.Parameter(torch.ones(2, 2))], lr=0.1)
    said = f"{kind.__name__} reads its learning rate on the host, where a graph would freeze it"
    assert found(Model(), stepping(optimiser)) == [said]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rate_in_a_tensor_that_python_writes(when):
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=torch.tensor(0.1))
    step = stepping(optimiser, **{when: lambda: optimiser.param_groups[0]["lr"].fill_(0.01)})
    assert "the step sets its learning rate from Python, where a graph would freeze it" in found(Model(), step, step)


@pytest.mark.parametrize("kind", [Counting, torch.optim.Adagrad])
def test_a_count_on_the_host(kind):
    step = stepping(kind([nn.Parameter(torch.ones(2))], lr=0.1))
    assert f"{kind.__name__} counts on the host, where a graph would freeze it" in found(Model(), step, step)
