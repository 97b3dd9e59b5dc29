"""How far a step is from FP64."""

import math

import pytest

from mpcore.measure.numerics import measure_numerics
from mpcore.measure.observation import observe
from mpcore.measure.setup import Setup
from mpcore.measure.yardstick import Yardstick
from mpcore.precision.pure import FP64
from mpcore.records import Case, Recipe, Requirements
from mpcore.training.step import TrainStep


@pytest.fixture
def plain(dots):
    """Trained with SGD."""
    dots.recipes = {"tiny": Recipe(epochs=1, batch_size=32, learning_rate=0.1, optimiser="SGD", weight_decay=0.0)}
    return dots


def yardstick(workload, cpu):
    batch = workload.split("train", cpu).rows(slice(32))
    return Yardstick(TrainStep(workload, FP64(), cpu, dropout=False), batch)


def observed(workload, precision, cpu, **options):
    return observe(TrainStep(workload, precision, cpu, dropout=False), workload.split("train", cpu).rows(slice(32)), **options)


def test_the_updates_of_sgd_are_as_large_as_adam_s(plain, cpu):
    """With Adam's learning rate they would be gradients' size smaller, and lost in the weights of every mode."""
    updates = observed(plain, FP64(), cpu, updates=1).updates.values()
    mean = sum(float(u.square().sum()) for u in updates) / sum(u.numel() for u in updates)
    assert math.sqrt(mean) == pytest.approx(1e-5)


@pytest.mark.parametrize(("name", "lost"), [("fp32", False), ("bf16-manual", False), ("bf16-true", True)])
def test_of_sgd_s_updates_those_without_masters_are_lost(plain, cpu, name, lost):
    setup = Setup(Case(workload="dots", precision=name, size="tiny"), plain, cpu, Requirements())
    numerics = measure_numerics(setup, plain.split("train", cpu).rows(slice(32)), yardstick(plain, cpu))
    assert (numerics.update_error > 0.4) is lost
    assert (numerics.update_error < 0.05) is not lost


def test_what_is_zero_is_no_division_by_it(dots, cpu):
    """A model that has nothing left to learn."""
    loss = type(dots).loss
    dots.loss = lambda model, batch: 0.0 * loss(dots, model, batch)
    setup = Setup(Case(workload="dots", precision="fp32", size="tiny"), dots, cpu, Requirements())
    numerics = measure_numerics(setup, dots.split("train", cpu).rows(slice(32)), yardstick(dots, cpu))
    assert (numerics.loss_error, numerics.gradient_error) == (0.0, 0.0)
