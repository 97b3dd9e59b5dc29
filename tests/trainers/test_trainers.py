"""The trainers that there are: each trains the same model from the same weights, in the modes that it has."""

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.device.flops import FlopCount
from mpcore.measure.observation import observe
from mpcore.measure.yardstick import relative_error
from mpcore.precision import precisions
from mpcore.records import Recipe
from mpcore.trainers import trainers
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.workloads import cross_entropy

CPU = torch.device("cpu")
OTHERS = [name for name in trainers.names() if name != "mpcore"]


def step_of(name, workload, precision="fp32", **options):
    if reason := trainers[name].unsupported(precision, "eager", CPU):
        pytest.skip(reason)
    return trainers[name]().step(workload, precisions[precision](), CPU, **options)


def batch_of(workload):
    return workload.split("train", CPU).rows(slice(32))


def share_of(step, batch):
    """Of FLOPs in 16 bits."""
    with FlopCount(step.fp32_on_purpose) as flops:
        step.launch(batch)
    return flops.low_precision_share


def test_they_are_registered_in_the_order_of_the_tables():
    assert trainers.names() == ["mpcore", "plain", "fabric", "accelerate", "huggingface"]


@pytest.mark.parametrize("name", OTHERS)
def test_its_modes_are_modes_of_ours_among_them_fp32(name):
    assert "fp32" in trainers[name].modes.keys() <= set(precisions.names())


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("launched", [False, True])
def test_a_step_in_fp32_is_ours_with_the_same_draws_of_dropout(name, launched, dots):
    batch, losses = batch_of(dots), []
    for who in (name, "mpcore"):
        step = step_of(who, dots)
        run = step.launch if launched else step
        losses.append([run(batch).item() for _ in range(5)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", ["fp16-amp", "bf16-amp"])
def test_a_step_at_rate_zero_leaves_the_weights(name, precision, dots):
    step, batch = step_of(name, dots, precision), batch_of(dots)
    step.set_rate(0.0)
    before = {name: w.detach().clone() for name, w in step.weights().items()}
    step(batch)
    assert all(torch.equal(w, before[name]) for name, w in step.weights().items())
    step.set_rate(1.0)
    step(batch)
    step(batch)
    assert not all(torch.equal(w, before[name]) for name, w in step.weights().items())


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", ["fp32", "fp16-amp", "bf16-amp"])
def test_its_gradients_and_updates_are_seen_and_are_ours(name, precision, dots):
    """Unscaled, without dropout, and by the names of the model's weights."""
    batch = batch_of(dots)
    steps = [step_of(who, dots, precision, dropout=False) for who in (name, "mpcore")]
    theirs, ours = (observe(step, batch) for step in steps)
    assert theirs.gradients.keys() == ours.gradients.keys() == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert relative_error(theirs.gradients, ours.gradients) < 1e-5
    assert relative_error(theirs.updates, ours.updates) < 1e-4
    assert (theirs.made, theirs.skipped) == (ours.made, ours.skipped)
    assert share_of(steps[0], batch) == share_of(steps[1], batch)


@pytest.fixture
def contrastive(dots):
    """Its loss calls a method of its model that is no forward pass, and multiplies what comes of it."""

    class Contrastive(type(dots)):
        def build_model(self):
            class Model(nn.Sequential):
                def encode(self, x):
                    return super().forward(x)

            return Model(*super().build_model())

        def loss(self, model, batch):
            ours, theirs = model.encode(batch["x"]), model.encode(batch["x"].flip(1))
            return cross_entropy(ours @ theirs.T, torch.arange(len(ours)))

        def predict(self, model, batch):
            return model.encode(batch["x"]).argmax(-1)

    return Contrastive("tiny")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", ["fp16-amp", "bf16-amp"])
def test_what_a_loss_computes_outside_a_forward_pass_is_in_the_formats_of_ours(name, precision, contrastive):
    batch = batch_of(contrastive)
    steps = [step_of(who, contrastive, precision, dropout=False) for who in (name, "mpcore")]
    assert share_of(steps[0], batch) == share_of(steps[1], batch) > 0.9
    theirs, ours = (observe(step, batch) for step in steps)
    assert relative_error(theirs.gradients, ours.gradients) < 1e-5
    assert torch.equal(*(step.predict(batch) for step in steps))


@pytest.fixture
def labelled(dots):
    """It has the names that transformers knows, a column `labels` and a forward with `**kwargs`, and four parts of a batch."""

    class Labelled(type(dots)):
        recipes = {"tiny": Recipe(epochs=3, batch_size=32, learning_rate=1e-2, accumulation=4)}

        def build_model(self):
            class Model(nn.Sequential):
                def forward(self, x, **kwargs):
                    return super().forward(x)

            return Model(*super().build_model())

        def data(self, split):
            columns = super().data(split).columns
            return Split({"x": columns["x"], "labels": columns["label"]})

        def loss(self, model, batch):
            return cross_entropy(model(batch["x"]), batch["labels"])

    return Labelled("tiny")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("rows", [32, 30, 3])
def test_gradients_of_parts_add_up_to_that_of_the_batch_though_one_is_smaller(name, rows, labelled):
    batch = labelled.split("train", CPU).rows(slice(rows))
    theirs, ours = (observe(step_of(who, labelled, dropout=False), batch) for who in (name, "mpcore"))
    assert relative_error(theirs.gradients, ours.gradients) < 1e-5
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_a_training_by_it_reaches_what_ours_does(name, dots):
    scores = []
    for who in (name, "mpcore"):
        step = step_of(who, dots)
        fit(step, dots.split("train", CPU))
        scores.append(evaluate(step, dots.split("test", CPU)).metrics["accuracy"])
    assert scores[0] == scores[1] > 0.9


def test_skipped_steps_are_counted_and_the_scale_is_known(dots):
    step, batch = step_of("plain", dots, "fp16-amp"), batch_of(dots)
    step(batch)
    first = step.scale_state()
    step(batch | {"x": batch["x"] * torch.inf})
    after = step.scale_state()
    assert (first.skipped_steps, after.skipped_steps) == (0, 1)
    assert after.loss_scale == first.loss_scale / 2


def test_without_a_scale_there_is_none(dots):
    step = step_of("plain", dots, "bf16-amp")
    step(batch_of(dots))
    assert (step.loss_scale, step.skipped) == (None, None)


def test_it_predicts_under_its_autocast(dots):
    seen = []

    def predict(model, batch):
        logits = model(batch["x"])
        seen.append(logits.dtype)
        return logits.argmax(-1)

    dots.predict = predict
    assert step_of("plain", dots, "bf16-amp").predict(batch_of(dots)).shape == (32,)
    assert seen == [torch.bfloat16]


def test_what_is_not_there_is_said(monkeypatch):
    assert trainers["plain"].unsupported("fp16-manual", "eager", CPU) == "plain PyTorch has no fp16-manual"
    assert trainers["accelerate"].unsupported("fp16-amp", "eager", CPU) == "Accelerate has no fp16-amp on a CPU"
    expected = "plain PyTorch does not say that its step can be run by graph"
    assert trainers["plain"].unsupported("fp32", "graph", CPU) == expected
    assert trainers["mpcore"].unsupported("fp16-manual", "graph", CPU) is None
    monkeypatch.setattr(trainers["fabric"], "packages", ("no_such_library",))
    assert (
        trainers["fabric"].unsupported("fp32", "eager", CPU) == "no_such_library is not installed: pip install 'mpcore[parity]'"
    )


def test_modules_that_a_workload_keeps_in_fp32_are_kept_under_autocast(dots):
    dots.keep_fp32 = ("3",)
    seen = []
    step = step_of("plain", dots, "bf16-amp")
    step.model[3].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    step(batch_of(dots))
    assert seen == [torch.float32]


def test_a_trainer_that_casts_the_weights_says_that_it_keeps_none(dots):
    dots.keep_fp32 = ("3",)
    with pytest.raises(ValueError, match="plain PyTorch keeps no modules of dots in FP32 in bf16-true"):
        step_of("plain", dots, "bf16-true")
