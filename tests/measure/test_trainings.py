"""Trainings that decide nothing are followed by as many again, and FP32 by the same."""

import pytest
import torch
from torch import nn

from mpcore.measure import Bench
from mpcore.records import Case
from mpcore.workloads import OwnStep, workloads

CASE = Case(workload="dots-again", precision="bf16-amp", size="tiny")


@pytest.fixture
def bench(dots, monkeypatch, cpu):
    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))

    @workloads.register
    class Again(type(dots)):
        name = "dots-again"
        recipes = {size: type(dots).recipes["tiny"] for size in ("tiny", "full")}
        tolerances = {"tiny": 5.0, "full": 5.0}

    @workloads.register
    class OfOneSeed(OwnStep):
        name, unit, units_per_batch, precisions, curve_steps = "of-one-seed", "rows", 8, ("fp32", "bf16-amp"), 2

        def build(self, precision, device):
            torch.manual_seed(0)
            model = nn.Linear(4, 1)

            def step(x):
                loss = model(x).square().mean()
                loss.backward()
                return loss

            return step

        def batches(self, device):
            return [torch.ones(8, 4)]

    return Bench(cpu, seeds=range(2))


def test_a_round_trains_from_other_seeds_beside_fp32(bench):
    first = bench.accuracy(CASE)
    both = bench.accuracy(CASE, 2)
    assert [t.seed for t in first.trainings] == list(first.reference.by_seed) == [0, 1]
    assert [t.seed for t in both.trainings] == list(both.reference.by_seed) == [0, 1, 2, 3]
    assert both.trainings[:2] == first.trainings
    assert both.reference == bench.accuracy(CASE.in_precision("fp32"), 2).scores


def test_another_mode_is_compared_with_the_seeds_that_it_has(bench):
    bench.accuracy(CASE, 2)
    other = bench.accuracy(CASE.in_precision("bf16-manual"))
    assert list(other.reference.by_seed) == [t.seed for t in other.trainings] == [0, 1]


def test_a_step_with_a_seed_of_its_own_has_no_other(bench):
    case = CASE.model_copy(update={"workload": "of-one-seed"})
    assert len(bench.accuracy(case, 3).trainings) == 1


def test_nor_has_what_is_compared_with_it(bench):
    case = CASE.model_copy(update={"workload": "of-one-seed"})
    first, second = bench.accuracy(case.in_precision("fp32")), bench.accuracy(case)
    assert len(first.trainings) == len(second.trainings) == 1
    assert second.reference == first.scores
