"""Mistakes of somebody's training stack are caught, and named: by the errors against FP64, or by what its step says."""

import pytest
import stacks
import torch

from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.records import Case
from mpcore.trainers import TrainerError, trainers

STACKS = [cls for cls in vars(stacks).values() if isinstance(cls, type) and issubclass(cls, stacks.Stack)]


@pytest.fixture(scope="module")
def bench():
    return Bench(torch.device("cpu"))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(trainers, "_classes", dict(trainers._classes))
    for cls in STACKS:
        trainers.register(cls)


def case_of(trainer, precision):
    return Case(workload="bert-imdb", precision=precision, trainer=trainer, size="tiny")


def failed(bench, trainer, precision):
    """By metric, the sentence of each check of numerics that fails."""
    found = checks(bench.numerics(case_of(trainer, precision)))
    return {check.metric: check.sentence for check in found if not check.passed}


@pytest.mark.parametrize("precision", stacks.MODES)
def test_nothing_is_wrong_without_a_fault(bench, precision):
    assert failed(bench, "stack", precision) == {}


@pytest.mark.parametrize(
    ("trainer", "precision", "metric"),
    [
        ("clips-scaled", "fp16-amp", "gradient error"),
        ("drops-masters", "bf16-amp", "update error"),
        ("no-autocast", "bf16-amp", "16-bit share"),
        ("no-autocast", "fp16-amp", "16-bit share"),
        ("another-rate", "fp32", "update error"),
        ("keeps-gradients", "fp32", "update error"),
    ],
)
def test_a_fault_is_named_with_the_trainer(bench, trainer, precision, metric):
    sentences = failed(bench, trainer, precision)
    assert metric in sentences
    assert sentences[metric].startswith(f"bert-imdb by {trainer}: ")
    assert precision in sentences[metric]


@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        (
            "stands-still",
            "bert-imdb by stands-still: no weight of the model has a gradient where its optimiser steps: expected",
        ),
        ("steps-another", "bert-imdb by steps-another: none of the optimisers that it names was called in 20 steps: expected"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(bench, trainer, sentence):
    with pytest.raises(TrainerError) as refused:
        bench.numerics(case_of(trainer, "fp32"))
    assert str(refused.value).startswith(sentence)
