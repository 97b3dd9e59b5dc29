"""Steps, trainings and evaluations."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mpcore.precision import PrecisionError
from mpcore.precision.autocast import FP16Autocast
from mpcore.precision.master import FP16MasterWeights
from mpcore.precision.native import FP32
from mpcore.registry import UnknownName, precisions
from mpcore.train import Diverged, TrainStep, disable_dropout, evaluate, fit, schedule


def parameters(step):
    return [p.detach().clone() for p in step.model.parameters()]


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


def test_the_learning_rate_warms_up_and_ends_at_rest():
    rates = [schedule(step, 100) for step in range(1, 101)]
    assert rates[9] == max(rates) == 1.0
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == 0
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert schedule(1, 1) == 0


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_accumulated_parts_are_the_whole(dots, cpu, parts):
    batch = dots.split("train", cpu).rows(slice(32))
    whole, split = (TrainStep(dots, FP32(), cpu, accumulate=n, dropout=False) for n in (1, parts))
    assert split(batch).item() == pytest.approx(whole(batch).item(), rel=1e-5)
    for a, b in zip(parameters(whole), parameters(split), strict=True):
        torch.testing.assert_close(a, b)


def test_a_batch_smaller_than_its_parts_still_counts(dots, cpu):
    step = TrainStep(dots, FP32(), cpu, accumulate=8)
    assert step(dots.split("train", cpu).rows(slice(3))).isfinite()


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


def test_progress_is_told_every_window_and_at_the_end(dots, cpu):
    told = []
    fit(TrainStep(dots, FP32(), cpu), dots.split("train", cpu), progress=lambda *args: told.append(args[:2]))
    assert told == [(50, 96), (96, 96)]


def test_dropout_goes_and_batch_statistics_stay():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
    disable_dropout(model)
    assert (model[0].training, model[1].training) == (True, False)


def test_recurrent_layers_stay_in_training_without_dropout():
    """In evaluation mode cuDNN has no gradients of theirs."""
    model = nn.ModuleList([nn.LSTM(4, 4, num_layers=2, dropout=0.5), nn.Dropout()])
    disable_dropout(model)
    assert [module.training for module in model] == [True, False]
    assert model[0].dropout == 0.0


class Bare(FP32):
    """Forgets what its base does."""

    name = "bare"

    def prepare(self, model, recipe):
        pass


class Wrapped(FP32):
    name = "wrapped"

    def build_optimiser(self, weights, recipe):
        return SimpleNamespace(inner=super().build_optimiser(weights, recipe))


class Broken(FP32):
    name = "broken"

    def update(self):
        raise KeyError("masters")


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        (Bare, "bare: prepare() did not set a model, and an optimiser of torch.optim: expected it to call super().prepare()"),
        (Wrapped, "wrapped: prepare() did not set a model, and an optimiser of torch.optim"),
        (Broken, "broken: update() failed: KeyError: 'masters' (test_train.py, line "),
    ],
)
def test_a_mistake_in_a_mode_is_one_sentence(dots, cpu, mode, sentence):
    with pytest.raises(PrecisionError) as refused:
        TrainStep(dots, mode(), cpu)(dots.split("train", cpu).rows(slice(8)))
    assert str(refused.value).startswith(sentence)


def test_what_an_optimiser_keeps_beside_moments_is_not_forgotten(dots, cpu):
    step = TrainStep(dots, FP32(), cpu)
    step(dots.split("train", cpu).rows(slice(8)))
    state = next(iter(step.precision.optimiser.state.values()))
    state["master"] = torch.ones(3)
    step.precision.forget()
    assert [float(state[name].abs().sum()) for name in ("step", "exp_avg", "exp_avg_sq", "master")] == [0, 0, 0, 3]


def test_dropout_is_on_unless_told_otherwise(dots, cpu):
    batch = dots.split("train", cpu).rows(slice(32))
    with_dropout, without = TrainStep(dots, FP32(), cpu), TrainStep(dots, FP32(), cpu, dropout=False)
    assert with_dropout(batch) != without(batch)


def test_an_unknown_execution_is_named(dots, cpu):
    with pytest.raises(UnknownName, match="unknown execution 'lazy'; known are eager"):
        TrainStep(dots, FP32(), cpu, execution="lazy")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", ["fp16-amp", "bf16-amp"])
def test_evaluation_does_not_grow_with_the_casts_that_autocast_keeps(dots, name):
    device = torch.device("cuda")
    step, split = TrainStep(dots, precisions[name](), device), dots.split("test", device)
    evaluate(step, split)
    used = []
    for _ in range(20):
        evaluate(step, split)
        used.append(torch.cuda.memory_allocated())
    assert used[-1] == used[0]
