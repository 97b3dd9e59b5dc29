"""Whole trainings."""

import pytest
import torch

from mpcore.precision import precisions
from mpcore.precision.autocast import FP16Autocast
from mpcore.precision.master import FP16MasterWeights
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import Diverged, fit
from mpcore.training.step import TrainStep


def test_a_training_learns_and_is_scored(dots, cpu):
    step = TrainStep(dots, FP32(), cpu)
    trained = fit(step, dots.split("train", cpu))
    assert len(trained.losses) == 3 * 32
    assert trained.losses[-1] < trained.losses[0] / 2
    assert trained.diverged is None
    tested = evaluate(step, dots.split("test", cpu))
    assert tested.metrics["accuracy"] > 0.9
    assert sum(map(sum, tested.confusion)) == 200
    assert step.model.training


def test_the_same_seed_is_the_same_training_and_another_is_not(dots, cpu):
    losses = [fit(TrainStep(dots, FP32(), cpu, seed=s), dots.split("train", cpu), seed=s).losses for s in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_all_modes_start_from_the_same_weights_and_see_the_same_order(dots, cpu):
    first = [fit(TrainStep(dots, precisions[n](), cpu), dots.split("train", cpu)).losses[0] for n in ("fp32", "bf16-amp")]
    assert first[0] == pytest.approx(first[1], rel=0.02)


def test_no_sample_of_a_last_incomplete_batch_is_lost(dots, cpu):
    step, seen = TrainStep(dots, FP32(), cpu), []
    step.model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    fit(step, dots.split("train", cpu))
    assert sum(seen) == 3 * 1000
    assert seen[31] == 1000 - 31 * 32
    seen.clear()
    evaluate(step, dots.split("test", cpu))
    assert sum(seen) == 200


@pytest.mark.parametrize("mode", [FP32, FP16Autocast, FP16MasterWeights])
def test_a_loss_that_is_not_finite_stops_the_training_at_its_step(dots, cpu, mode):
    split = dots.split("train", cpu)
    step, loss = TrainStep(dots, mode(), cpu), dots.loss
    calls = []

    def poisoned(model, batch):
        calls.append(1)
        return loss(model, batch) * (float("nan") if len(calls) == 7 else 1.0)

    dots.loss = poisoned
    with pytest.raises(Diverged, match="diverged at step 7: the loss is nan") as caught:
        fit(step, split)
    assert len(caught.value.fit.losses) == 7
    assert len(calls) == 50


@pytest.mark.parametrize("mode", [FP16Autocast, FP16MasterWeights])
def test_a_collapsed_scale_stops_the_training_at_its_step(dots, cpu, mode):
    """The loss stays finite and every gradient overflows: all steps are skipped, which nothing else would show."""
    step = TrainStep(dots, mode(), cpu)
    step.model[0].weight.register_hook(lambda g: g * torch.inf)
    with pytest.raises(Diverged, match="diverged at step 16: the loss scale has collapsed to 1"):
        fit(step, dots.split("train", cpu))


def test_progress_is_told_after_the_first_step_every_window_and_at_the_end(dots, cpu):
    told = []
    fit(TrainStep(dots, FP32(), cpu), dots.split("train", cpu), progress=lambda *args: told.append(args[:2]))
    assert told == [(1, 96), (50, 96), (96, 96)]
