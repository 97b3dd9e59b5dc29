"""A trainer of somebody's own: what its loop says of itself, and what is said of one that is wrong."""

import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from mpcore.measure.observation import observe
from mpcore.precision import Inapplicable, precisions
from mpcore.precision.tf32 import tf32_switches
from mpcore.registry import Registry
from mpcore.trainers import Loop, Trainer, TrainerError
from mpcore.trainers.base import mistake, optimiser
from mpcore.training.evaluation import evaluate
from mpcore.training.generators import seed_everything
from mpcore.training.loop import fit

CPU = torch.device("cpu")


class Bare(Trainer):
    name = "bare"
    modes = {"fp32": None, "bf16-true": None}
    says = ()

    def build(self, workload, model, precision, device):
        self.adam = optimiser(workload, model)
        known = {"optimisers": [self.adam]}
        return Loop(step=lambda batch: self.train(workload, model, batch), **{name: known[name] for name in self.says})

    def train(self, workload, model, batch):
        loss = workload.loss(model, batch)
        loss.backward()
        self.adam.step()
        self.adam.zero_grad()
        return loss


class WithOptimisers(Bare):
    says = ("optimisers",)


def step_of(trainer, workload, precision="fp32", **options):
    return trainer().step(workload, precisions[precision](), CPU, **options)


def batch_of(workload):
    return workload.split("train", CPU).rows(slice(32))


def test_a_bare_step_runs_and_says_what_others_need(dots):
    step = step_of(Bare, dots)
    assert step(batch_of(dots)).shape == ()
    assert not step(batch_of(dots)).requires_grad
    assert len(step.predict(batch_of(dots))) == 32
    for use in (lambda: fit(step, dots.split("train", CPU)), lambda: observe(step, batch_of(dots))):
        with pytest.raises(Inapplicable) as lacking:
            use()
        assert str(lacking.value) == "the step of dots by bare lacks a learning rate that can be set"
    assert evaluate(step, dots.split("test", CPU)).metrics.keys() >= {"accuracy"}


def test_a_device_has_several_names(dots):
    """As "cuda" and "cuda:0" are one."""
    step = Bare().step(dots, precisions["fp32"](), torch.device("cpu", 0))
    assert step(batch_of(dots)).device != step.device


def test_each_group_keeps_its_own_rate(dots):
    class Groups(WithOptimisers):
        def build(self, workload, model, precision, device):
            loop = super().build(workload, model, precision, device)
            first, second = list(model.parameters())[:2], list(model.parameters())[2:]
            self.adam = torch.optim.AdamW([{"params": first, "lr": 0.5}, {"params": second, "lr": 0.25}])
            return Loop(step=loop.step, optimisers=[self.adam])

    step = step_of(Groups, dots)
    step.set_rate(0.1)
    assert [group["lr"] for group in step.optimisers[0].param_groups] == [0.05, 0.025]


def test_a_wrapped_optimiser_is_looked_into(dots):
    class Wrapped(WithOptimisers):
        def build(self, workload, model, precision, device):
            loop = super().build(workload, model, precision, device)
            wrapper = type("Wrapper", (), {"optimizer": self.adam})()
            return Loop(step=loop.step, optimisers=[wrapper])

    assert observe(step_of(Wrapped, dots, dropout=False), batch_of(dots), updates=2).made == 2


def test_masters_by_the_names_of_the_weights_are_what_is_compared(dots):
    class Masters(Trainer):
        name = "masters"
        modes = {"bf16-manual": None}

        def build(self, workload, model, precision, device):
            masters = {name: p.detach().clone() for name, p in model.named_parameters()}
            adam = torch.optim.AdamW(masters.values(), lr=workload.recipe.learning_rate)
            model.to(torch.bfloat16)

            def step(batch):
                loss = workload.loss(model, batch | {"x": batch["x"].bfloat16()})
                loss.backward()
                for name, p in model.named_parameters():
                    masters[name].grad, p.grad = p.grad.float(), None
                adam.step()
                for name, p in model.named_parameters():
                    p.data.copy_(masters[name])
                return loss

            return Loop(step=step, optimisers=[adam], weights=masters)

    found = observe(step_of(Masters, dots, "bf16-manual", dropout=False), batch_of(dots), updates=2)
    assert found.gradients.keys() == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert all(moved.abs().max() > 1e-5 for moved in found.updates.values())


def test_the_mode_s_tf32_holds_while_it_is_built_and_called_and_not_otherwise(dots):
    seen = []

    class Looking(Bare):
        modes = {"fp32": None, "tf32": None}

        def build(self, workload, model, precision, device):
            seen.append(torch.get_float32_matmul_precision())
            loop = super().build(workload, model, precision, device)
            return Loop(step=lambda batch: seen.append(torch.get_float32_matmul_precision()) or loop.step(batch))

    with tf32_switches(False):
        step_of(Looking, dots, "tf32")(batch_of(dots))
        assert seen == ["high", "high"]
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("added", [False, True])
def test_a_rate_that_is_lowered_by_hand_while_it_is_built_is_its_warm_up(dots, added):
    """The rates are those that its groups were built with, whatever is set before a step is seen."""

    class WarmsUp(WithOptimisers):
        def build(self, workload, model, precision, device):
            loop, (first, *others) = super().build(workload, model, precision, device), model.parameters()
            if added:
                self.adam = torch.optim.SGD([first], lr=0.1)
                self.adam.add_param_group(param_group={"params": others, "lr": 0.2})
                loop = Loop(step=loop.step, optimisers=[self.adam])
            for group in self.adam.param_groups:
                group["lr"] = 1e-5
            return loop

    step = step_of(WarmsUp, dots)
    step.set_rate(0.5)
    (made,) = step.optimisers
    own = [0.1, 0.2] if added else [dots.recipe.learning_rate]
    assert [group["lr"] for group in made.param_groups] == [0.5 * rate for rate in own]


def test_what_it_draws_while_it_is_built_changes_no_dropout_and_no_other_draws(dots):
    class Seeds(Bare):
        def build(self, workload, model, precision, device):
            seed_everything(42)
            return super().build(workload, model, precision, device)

    def first(trainer):
        return step_of(trainer, dots)(batch_of(dots)).item(), np.random.rand(), random.random()

    assert first(Bare) == first(Seeds)


def test_a_step_that_skips_without_a_count_is_not_taken_for_an_update(dots):
    class Skips(WithOptimisers):
        def train(self, workload, model, batch):
            self.calls = getattr(self, "calls", 0) + 1
            return workload.loss(model, batch) if self.calls < 3 else super().train(workload, model, batch)

    found = observe(step_of(Skips, dots, dropout=False), batch_of(dots), updates=2)
    assert (found.made, found.skipped) == (2, 2)
    assert found.gradients.keys() == {"0.weight", "0.bias", "3.weight", "3.bias"}


WRONG = {
    "an exception in a step": (
        {"train": lambda self, workload, model, batch: batch["y"]},
        "dots by wrong: its step failed: KeyError: 'y' (test_loop_step.py, line ",
    ),
    "a number for a loss": (
        {"train": lambda self, workload, model, batch: workload.loss(model, batch).item()},
        "dots by wrong: its step returned float 0.",
    ),
    "losses for a loss": (
        {"train": lambda self, workload, model, batch: batch["x"].sum(-1)},
        "dots by wrong: its step returned a tensor of shape (32,) and torch.float32: expected the loss, a 0-dim tensor on cpu",
    ),
    "a loss elsewhere": (
        {"train": lambda self, workload, model, batch: workload.loss(model, batch).to("meta")},
        "dots by wrong: its step returned a tensor of shape () and torch.float32: expected the loss, a 0-dim tensor on cpu",
    ),
    "no loop": (
        {"build": lambda self, workload, model, precision, device: None},
        "wrong: build() returned NoneType None: expected a Loop",
    ),
    "no step": (
        {"build": lambda self, workload, model, precision, device: Loop(step=None)},
        "wrong: build() failed: step is NoneType None: expected a function of a batch, which returns the loss",
    ),
    "an optimiser without a list": (
        {"build": lambda self, w, m, p, d: Loop(step=m, optimisers=torch.optim.SGD(m.parameters()))},
        "wrong: build() failed: optimisers is SGD SGD",
    ),
    "a list of nothing": (
        {"build": lambda self, w, m, p, d: Loop(step=m, optimisers=[m])},
        "wrong: build() failed: optimisers is list [Sequential(",
    ),
    "an exception in build": (
        {"build": lambda self, workload, model, precision, device: {}[precision]},
        "wrong: build() failed: KeyError: 'fp32' (test_loop_step.py, line ",
    ),
}


@pytest.mark.parametrize(("methods", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_one_sentence(methods, sentence, dots):
    wrong = type("Wrong", (Bare,), {"name": "wrong", **methods})
    with pytest.raises(TrainerError, match=f"^{re.escape(sentence)}"):
        step_of(wrong, dots)(batch_of(dots))


CLASSES = {
    "no build": ({"modes": {"fp32": None}}, Trainer, "trainer 'mine': it lacks the method build"),
    "no modes": ({}, type("Built", (Trainer,), {"build": Bare.build}), "trainer 'mine' lacks the attribute modes"),
    "modes in a list": ({"modes": ["fp32"]}, Bare, "trainer 'mine': modes is ['fp32']: expected what it calls each mode"),
    "no subclass": ({}, nn.Module, "trainer 'mine' is a Mine: expected a subclass of Trainer"),
}


@pytest.mark.parametrize(("attributes", "base", "sentence"), CLASSES.values(), ids=CLASSES.keys())
def test_a_class_that_is_no_trainer_is_refused(attributes, base, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Registry("trainer", Trainer, mistake).register(type("Mine", (base,), {"name": "mine", **attributes}))
