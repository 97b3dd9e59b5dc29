"""One training step."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mpcore.precision import PrecisionError, precisions
from mpcore.precision.autocast import BF16Autocast
from mpcore.precision.master import BF16MasterWeights
from mpcore.precision.native import FP32
from mpcore.precision.pure import BF16True
from mpcore.registry import UnknownName
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError


def parameters(step):
    return [p.detach().clone() for p in step.model.parameters()]


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
        (Broken, "broken: update() failed: KeyError: 'masters' (test_step.py, line "),
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
    step.forget()
    assert [float(state[name].abs().sum()) for name in ("step", "exp_avg", "exp_avg_sq", "master")] == [0, 0, 0, 3]


def test_dropout_is_on_unless_told_otherwise(dots, cpu):
    batch = dots.split("train", cpu).rows(slice(32))
    with_dropout, without = TrainStep(dots, FP32(), cpu), TrainStep(dots, FP32(), cpu, dropout=False)
    assert with_dropout(batch) != without(batch)


class TrainingOnly(nn.Linear):
    """Its training forward is another one than that of its evaluation, and breaks."""

    def forward(self, x):
        if self.training:
            raise RuntimeError("the training's own forward")
        return super().forward(x)


def test_without_dropout_the_training_s_own_forward_runs(dots, cpu, monkeypatch):
    monkeypatch.setattr(dots, "build_model", lambda: TrainingOnly(16, 2))
    step = TrainStep(dots, FP32(), cpu, dropout=False)
    with pytest.raises(WorkloadError, match="the training's own forward"):
        step(dots.split("train", cpu).rows(slice(8)))


@pytest.mark.parametrize("dropout", [True, False])
def test_what_its_author_put_in_evaluation_mode_stays_there(dots, cpu, monkeypatch, dropout):
    model = nn.Sequential(nn.Linear(16, 2), nn.BatchNorm1d(2).eval(), nn.BatchNorm1d(2))
    monkeypatch.setattr(dots, "build_model", lambda: model)
    step = TrainStep(dots, FP32(), cpu, dropout=dropout)
    step.model.eval()
    step.train_mode()
    assert [module.training for module in step.model] == [True, False, True]


def test_a_model_that_comes_in_evaluation_mode_trains(dots, cpu, monkeypatch):
    """As libraries hand pretrained ones out."""
    monkeypatch.setattr(dots, "build_model", lambda: nn.Sequential(nn.Linear(16, 2)).eval())
    assert all(module.training for module in TrainStep(dots, FP32(), cpu).model.modules())


class Functional(nn.Module):
    """Uses the weights of a layer that it does not call."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        return nn.functional.linear(self.first(x), self.last.weight, self.last.bias)


@pytest.mark.parametrize("mode", [BF16Autocast, BF16MasterWeights, BF16True])
def test_a_kept_module_that_is_never_called_is_an_error(dots, cpu, monkeypatch, mode):
    monkeypatch.setattr(dots, "build_model", Functional)
    batch = dots.split("train", cpu).rows(slice(8))
    with pytest.raises(PrecisionError, match=f"{mode.name}: 'last' cannot be kept in FP32: it is never called"):
        TrainStep(dots, mode(keep_fp32=["last"]), cpu)(batch)
    assert TrainStep(dots, mode(keep_fp32=["first"]), cpu)(batch).isfinite()


@pytest.mark.parametrize("mode", [BF16Autocast, BF16MasterWeights, BF16True])
def test_a_workload_says_what_stays_in_fp32(dots, cpu, monkeypatch, mode):
    monkeypatch.setattr(type(dots), "keep_fp32", ("0",))
    step, seen = TrainStep(dots, mode(keep_fp32=["3"]), cpu), []
    for place in (0, 3):
        step.model[place].register_forward_pre_hook(lambda layer, _: seen.append(layer.weight.dtype))
    step(dots.split("train", cpu).rows(slice(8)))
    assert seen == [torch.float32] * 2


def test_an_unknown_execution_is_named(dots, cpu):
    with pytest.raises(UnknownName, match="unknown execution 'lazy'; known are eager"):
        TrainStep(dots, FP32(), cpu, execution="lazy")


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 2)
        self.register_buffer("queue", torch.ones(16, 16))

    def forward(self, x):
        mixed = self.layer(x) @ self.layer.weight @ self.queue
        self.queue.mul_(0.9)
        return mixed[:, :2]


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.t() @ x


class Unaware(nn.Linear):
    def forward(self, x):
        return Product.apply(x, self.weight)


@pytest.mark.parametrize(
    ("build", "precision", "said"),
    [
        (Overwriting, "fp32", r"inplace operation: .* \(test_step.py, line \d+: mixed = self.layer"),
        (
            lambda: nn.Sequential(nn.Linear(16, 16), Unaware(16, 2)),
            "bf16-amp",
            r"gradient @ weight.* expected torch.amp.custom_",
        ),
        (lambda: torch.jit.script(nn.Linear(16, 2)), "fp32", r"the model \(Linear\) is TorchScript, and no module in it can"),
    ],
    ids=["written over", "unaware of autocast", "TorchScript"],
)
def test_what_a_model_must_not_do_is_told_with_its_line(dots, cpu, build, precision, said):
    dots.build_model = build
    with pytest.raises((PrecisionError, WorkloadError), match=said):
        TrainStep(dots, precisions[precision](), cpu)(dots.split("train", cpu).rows(slice(8)))
