"""Captured steps of optimisers that are not the recipe's."""

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.execution.graph import WARM_UP, CaptureError
from mpcore.precision import precisions
from mpcore.precision.autocast import BF16Autocast
from mpcore.records import Recipe
from mpcore.training.step import TrainStep
from mpcore.workloads import Group, Workload, cross_entropy

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
RATE = 1e-2


class Branch(nn.Module):
    """Of whose weights small batches reach only some."""

    def __init__(self):
        super().__init__()
        self.body, self.rare, self.head = (nn.Linear(8, 8, bias=False) for _ in range(3))

    def forward(self, x):
        hidden = self.body(x)
        return self.head(hidden + self.rare(x) if len(x) > 4 else hidden)


class Captured(Workload):
    name = "captured"
    unit = "rows"
    classes = 8
    recipes = {"tiny": Recipe(epochs=1, batch_size=8, learning_rate=RATE)}
    tolerances = {"tiny": 5.0}

    def build_model(self):
        return Branch()

    def data(self, split):
        generator = torch.Generator().manual_seed(0)
        label = torch.randint(8, (64,), generator=generator)
        return Split({"x": torch.randn(64, 8, generator=generator), "label": label})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)


def step_of(mode, execution, **members):
    workload = type("Own", (Captured,), members)("tiny")
    step = TrainStep(
        workload, precisions[mode]() if isinstance(mode, str) else mode(), torch.device("cuda"), execution=execution
    )
    if step.loss_scale is not None:
        step.loss_scale.fill_(1024.0)
    return step


def rows(step, count):
    return step.workload.split("train", step.device).rows(slice(count))


def assert_alike(one, other):
    for name, weight in one.weights().items():
        torch.testing.assert_close(weight, other.weights()[name], rtol=1e-3, atol=1e-4)


def test_a_rate_on_the_host_is_said_before_anything_is_captured():
    with pytest.raises(CaptureError, match="Muon reads its learning rate on the host, where a graph would freeze it"):
        step_of("bf16-manual", "graph", optimiser=lambda self, groups: torch.optim.Muon(groups))


class ByHand(BF16Autocast):
    name = "by-hand"

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        groups = [
            {"params": [model.body.weight, model.rare.weight], "lr": recipe.learning_rate / 100},
            {"params": [model.head.weight]},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=0.0, fused=True)


@pytest.mark.parametrize("mode", [ByHand, "fp32", "fp16-manual", "bf16-kahan"])
def test_the_rates_of_groups_are_read_in_a_graph(mode):
    def groups(self, model):
        return [Group([model.body.weight, model.rare.weight], rate=0.01), Group([model.head.weight])]

    step = step_of(mode, "graph", **({} if mode is ByHand else {"groups": groups}))
    for _ in range(WARM_UP + 2):
        step(rows(step, 8))
    assert step.captured
    rates = [float(group["lr"]) for group in step.precision.optimiser.param_groups]
    assert rates == pytest.approx([0.01 * RATE, RATE])
    step.set_rate(0.0)
    step(rows(step, 8))  # where a compensation has waited, it arrives
    before = {name: w.detach().clone() for name, w in step.weights().items()}
    step(rows(step, 8))
    assert all(torch.equal(w, before[name]) for name, w in step.weights().items())
    step.set_rate(1.0)
    step(rows(step, 8))
    if mode != "bf16-kahan":  # where an update waits in the compensation
        moved = {name: (w.float() - before[name].float()).abs().max().item() for name, w in step.weights().items()}
        assert 0 < moved["body.weight"] < 0.05 * moved["head.weight"]


@pytest.mark.parametrize("mode", ["fp16-amp", "fp16-manual"])
@pytest.mark.parametrize("kind", [torch.optim.RMSprop, torch.optim.NAdam, torch.optim.AdamW])
def test_a_step_is_skipped_in_a_graph_by_an_optimiser_that_is_not_fused(mode, kind):
    """The first five, too, before there is a state to put back: it is captured later then."""
    graph, eager = (step_of(mode, how, optimiser=lambda self, groups: kind(groups)) for how in ("graph", "eager"))
    for step in (graph, eager):
        for number in range(16):
            if number < WARM_UP + 2 or number == 13:
                step.loss_scale.fill_(torch.inf)
            step(rows(step, 8))
            step.loss_scale.fill_(1024.0)
        assert step.scale_state().skipped_steps == WARM_UP + 3
    assert graph.captured
    assert_alike(graph, eager)


@pytest.mark.parametrize("mode", ["bf16-manual", "fp16-manual"])
def test_weights_that_a_later_shape_does_not_reach_are_left_alone_by_all_graphs(mode):
    graph, eager = (step_of(mode, how) for how in ("graph", "eager"))
    for step in (graph, eager):
        for count in [8] * 6 + [4] * 6 + [8] * 6:
            rare = step.weights()["rare.weight"].clone()
            step(rows(step, count))
            assert torch.equal(step.weights()["rare.weight"], rare) == (count == 4)
    assert_alike(graph, eager)
    state = graph.precision.optimiser.state
    counts = {name: int(state[w]["step"]) for name, w in graph.weights().items()}
    assert counts == {"body.weight": 18, "rare.weight": 12, "head.weight": 18}
