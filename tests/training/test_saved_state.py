"""A training that is saved and loaded goes on as if nothing had been."""

import io

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.precision import Precision, precisions
from mpcore.records import Recipe
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload, cross_entropy

CPU = torch.device("cpu")


class Seldom(nn.Module):
    """A branch that only batches with a large first entry reach."""

    def __init__(self):
        super().__init__()
        self.usual, self.rare, self.head = (nn.Linear(8, 8, bias=False) for _ in range(3))

    def forward(self, x):
        hidden = self.usual(x)
        return self.head(hidden + self.rare(x) if bool(x[0, 0] > 3) else hidden)


class Resumed(Workload):
    name = "resumed"
    unit = "rows"
    classes = 8
    recipes = {"tiny": Recipe(epochs=1, batch_size=8, learning_rate=1e-2)}
    tolerances = {"tiny": 5.0}
    kind = None

    def build_model(self):
        return Seldom()

    def data(self, split):
        return Split({"x": torch.zeros(8, 8)})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)


def workload_of(kind):
    own = {} if kind is None else {"optimiser": lambda self, groups: kind(groups)}
    return type("Own", (Resumed,), own)("tiny")


def step_of(mode, kind=None, seed=0):
    step = TrainStep(workload_of(kind), precisions[mode](), CPU, seed=seed)
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)
    return step


def batch_of(number, *, rare):
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(8, 8, generator=generator).clamp(-2, 2)
    x[0, 0] = 4.0 if rare else 0.0
    return {"x": x, "label": torch.randint(8, (8,), generator=generator)}


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file)


def assert_alike(one, other):
    for number in range(6):
        batch = batch_of(number, rare=number % 3 != 1)
        assert one(batch) == other(batch)
    weights = other.precision.weights()
    assert all(torch.equal(w, weights[name]) for name, w in one.precision.weights().items())


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("kind", [None, torch.optim.Muon, torch.optim.RMSprop, torch.optim.SGD])
@pytest.mark.parametrize("mode", ["fp32", "fp16-amp", "bf16-manual", "fp16-manual"])
def test_any_optimiser_goes_on(mode, kind, before):
    """From a step that all weights have been reached in, or not all, or that there never was."""
    step, other = step_of(mode, kind), step_of(mode, kind, seed=1)
    for number in range(before):
        step(batch_of(number, rare=number < 3))
    other.load_state_dict(through_a_file(step.state_dict()))
    assert_alike(step, other)


@pytest.mark.parametrize("mode", ["bf16-manual", "bf16-kahan"])
@pytest.mark.parametrize("apart", [True, False], ids=["from whole to apart", "from apart to whole"])
def test_flat_weights_are_taken_apart_as_they_were(mode, apart):
    """Whatever the step that is loaded has been through."""
    step, other = step_of(mode), step_of(mode, seed=1)
    for number in range(3):
        step(batch_of(number, rare=not apart))
        other(batch_of(number, rare=apart))
    layouts = [s.precision.layout for s in (step, other)]
    other.load_state_dict(step.state_dict())
    assert layouts[0] != layouts[1]
    assert other.precision.layout not in layouts  # what was captured is captured anew
    assert_alike(step, other)


def test_where_the_tensors_are_there_they_are_filled_in_place():
    step = step_of("fp16-manual")
    step(batch_of(0, rare=True))
    state, precision = step.state_dict(), step.precision
    step(batch_of(1, rare=True))
    (values,) = precision.optimiser.state.values()
    places = [*values.values(), precision.loss_scale, precision.groups[0].whole, *step.model.parameters()]
    before, layout = [place.data_ptr() for place in places], precision.layout
    step.load_state_dict(state)
    (values,) = precision.optimiser.state.values()
    places = [*values.values(), precision.loss_scale, precision.groups[0].whole, *step.model.parameters()]
    assert [place.data_ptr() for place in places] == before
    assert precision.layout == layout
    assert int(values["step"]) == 1


def test_what_is_saved_does_not_change_with_the_next_step():
    step = step_of("bf16-manual")
    step(batch_of(0, rare=True))
    state = step.state_dict()
    kept = through_a_file(state)
    step(batch_of(1, rare=True))
    for name, value in kept["model"].items():
        assert torch.equal(state["model"][name], value)
    for name, value in kept["precision"]["masters"].items():
        assert torch.equal(state["precision"]["masters"][name], value)


def test_the_state_of_another_mode_is_refused():
    with pytest.raises(ValueError, match="a state of bf16-amp cannot be loaded: expected one of fp32"):
        step_of("fp32").load_state_dict(step_of("bf16-amp").state_dict())


class OwnMasters(Precision):
    """Masters and a scale as a mode of one's own may have them, that knows nothing of saving."""

    name = "own-masters"
    dtype = torch.bfloat16

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        self.copies = {name: p.detach().clone() for name, p in model.named_parameters()}
        model.bfloat16()
        model.register_forward_pre_hook(lambda _, args: (args[0].bfloat16(),))
        self.factor = torch.tensor(1024.0)
        self.optimiser = torch.optim.AdamW(self.copies.values(), recipe.learning_rate)

    def backward(self, loss):
        (loss * self.factor).backward()

    def update(self):
        for name, p in self.model.named_parameters():
            self.copies[name].grad = None if p.grad is None else p.grad.float() / self.factor
            p.grad = None
        self.optimiser.step()
        self.factor.mul_(0.5)
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                p.copy_(self.copies[name])

    def weights(self):
        return self.copies

    @property
    def loss_scale(self):
        return self.factor


def test_masters_and_scale_of_a_mode_of_one_s_own_are_saved():
    step, other = (TrainStep(Resumed("tiny"), OwnMasters(), CPU, seed=seed) for seed in (0, 1))
    for number in range(3):
        step(batch_of(number, rare=True))
    other.load_state_dict(through_a_file(step.state_dict()))
    assert other.precision.factor == 128
    assert_alike(step, other)
