"""A weight that a step does not reach stays as it is, with its state, as torch's optimisers leave it in FP32."""

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.precision import precisions
from mpcore.records import Recipe
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload, cross_entropy

MODES = [name for name in precisions.names() if name not in ("tf32", "fp8", "fp8-rowwise", "fp16-true")]
REACHED = [False, True, True, False, False, True, True]
"""Whether the batch of each step has a row for the rare branch."""


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.usual, self.rare, self.never, self.head = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        rows = (x[:, 0] > 3).nonzero().squeeze(-1)
        hidden = self.usual(x)
        if len(rows):
            hidden = hidden.index_put((rows,), self.rare(x[rows]))
        return self.head(hidden.relu())


class Rare(Workload):
    name = "rare"
    unit = "rows"
    classes = 8
    recipes = {"tiny": Recipe(epochs=1, batch_size=8, learning_rate=1e-2, weight_decay=0.1)}
    tolerances = {"tiny": 5.0}

    def build_model(self):
        return Branches()

    def data(self, split):
        return Split({"x": torch.zeros(8, 8)})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)


def batch_of(reached, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 8, generator=generator).clamp(-2, 2)
    x[5, 0] = 4.0 if reached else 1.0
    return {"x": x, "label": torch.randint(8, (8,), generator=generator)}


def step_of(name, **options):
    step = TrainStep(Rare("tiny"), precisions[name](), torch.device("cpu"), dropout=False, **options)
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)
    return step


def copies(step):
    return {name: w.detach().clone() for name, w in (step.precision.weights() | dict(step.model.named_parameters())).items()}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", MODES)
def test_a_weight_that_a_step_does_not_reach_is_the_same_to_the_bit(name, accumulate):
    step = step_of(name, accumulate=accumulate)
    before = copies(step)
    for number, reached in enumerate(REACHED):
        step(batch_of(reached, number))
        after = copies(step)
        rare, usual, never = (torch.equal(before[f"{k}.weight"], after[f"{k}.weight"]) for k in ("rare", "usual", "never"))
        assert never
        assert rare or reached
        if step.precision.masters:  # else small updates may be lost
            assert rare != reached
            assert not usual
        before = after


@pytest.mark.parametrize("name", ["fp16-manual", "bf16-manual", "bf16-kahan", "bf16-sr"])
def test_its_moments_and_its_count_of_steps_are_those_of_torch(name):
    """Before it is taken apart, and after."""
    step, fp32 = step_of(name), step_of("fp32")
    for number, reached in enumerate([True, True, *REACHED]):
        for each in (step, fp32):
            each(batch_of(reached, number))
    names = [n for n, _ in fp32.model.named_parameters() if not n.startswith("never")]
    theirs = {n: fp32.precision.optimiser.state[fp32.model.get_parameter(n)] for n in names}
    ours = {n: step.precision.optimiser.state[step.precision.weights()[n]] for n in names}
    assert {n: int(s["step"]) for n, s in ours.items()} == {n: int(s["step"]) for n, s in theirs.items()}
    assert int(ours["rare.bias"]["step"]) == 6
    for n in names:
        torch.testing.assert_close(ours[n]["exp_avg"].float(), theirs[n]["exp_avg"], rtol=0.1, atol=2e-3)
    never = step.precision.optimiser.state.get(step.precision.weights()["never.weight"], {})
    assert all(not bool(value.any()) for value in never.values())


def test_weights_that_are_all_reached_stay_one_tensor(dots, cpu):
    step = TrainStep(dots, precisions["bf16-manual"](), cpu)
    for _ in range(2):
        step(dots.split("train", cpu).rows(slice(8)))
    assert [len(g["params"]) for g in step.precision.optimiser.param_groups] == [1]
    assert step.precision.layout == (0, True)


def test_what_is_taken_apart_is_captured_anew():
    """A graph of before would go on counting steps in one place."""
    step = step_of("bf16-manual")
    before = step.precision.layout
    step(batch_of(reached=True))
    assert [len(g["params"]) for g in step.precision.optimiser.param_groups] == [8]
    assert step.precision.layout != before
