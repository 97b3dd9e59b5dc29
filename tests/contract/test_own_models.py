"""The contract holds models of any shape to what they do in FP32, and names what is wrong with one."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.contract import test_dtypes, test_evaluation, test_gradients, test_settings, test_state
from mpcore.contract.harness import Subject
from mpcore.data import Split
from mpcore.gate.limits import ERROR_CAP
from mpcore.measure import Bench
from mpcore.records import Recipe
from mpcore.workloads import Workload, WorkloadError, cross_entropy, workloads

HALVES = (torch.float16, torch.bfloat16)


class Own(Workload):
    unit = "rows"
    classes = 4
    recipes = dict.fromkeys(("tiny", "full"), Recipe(epochs=1, batch_size=32, learning_rate=3e-3))
    tolerances = {"tiny": 5.0, "full": 1.0}

    def build_model(self):
        return self.kind()

    def data(self, split):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(256, 16, generator=generator)
        return Split({"x": x, "label": x[:, :4].argmax(1)})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Linear(32, 4)

    def forward(self, x):
        return self.head(F.gelu(self.norm(self.first(x))))


class Routed(Net):
    """Two rows do not reach all experts; a batch does."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))

    def forward(self, x):
        hidden, chosen = self.first(x), x[:, :4].argmax(1)
        out = torch.zeros_like(hidden)
        for number, expert in enumerate(self.experts):
            if (rows := (chosen == number).nonzero()[:, 0]).numel():
                out[rows] = expert(hidden[rows]).to(out.dtype)
        return self.head(out)


class Drawn(Net):
    def forward(self, x):
        return super().forward(x * (1 + random.random()) if self.training else x)


class Counting(Net):
    steps = 0

    def forward(self, x):
        self.steps += 1
        return super().forward(x) * (1 + 0.1 * min(self.steps, 10))


class Widening(Net):
    """Its buffer becomes one of FP32 at the first step, whatever it was."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(32))

    def forward(self, x):
        hidden = self.first(x)
        if self.training:
            self.mean = self.mean.float().lerp(hidden.detach().float().mean(0), 0.1)
        return self.head(F.gelu(hidden - self.mean.to(hidden.dtype)))


class Forgetful(Net):
    def forward(self, x):
        hidden = self.first(x)
        lost = self.training and hidden.dtype in HALVES
        normed = F.batch_norm(hidden, None, None, training=True) if lost else self.norm(hidden)
        return self.head(F.gelu(normed))


class OtherPath(Net):
    def forward(self, x):
        hidden = self.first(x)
        return self.head(F.gelu(hidden * 3 if not self.training and hidden.dtype in HALVES else hidden))


class Mapped(Net):
    """Its layers are called for each row."""

    def forward(self, x):
        hidden = torch.func.vmap(self.first)(x)
        return super().forward(x) + torch.func.vmap(self.head)(F.gelu(hidden))


class Graph(Net):
    """Its neighbours are in a sparse matrix."""

    def __init__(self):
        super().__init__()
        self.register_buffer("neighbours", torch.eye(32).to_sparse(), persistent=False)

    def forward(self, x):
        hidden = self.first(x)
        with torch.autocast("cpu", enabled=False):
            mixed = torch.sparse.mm(self.neighbours.float(), hidden.float().t()).t()
        return self.head(mixed.to(hidden.dtype))


class Precise(Net):
    """A product in FP64, by its author's hand, which not all weights go through."""

    def forward(self, x):
        hidden = self.first(x)
        return self.head(hidden + (hidden.double() @ torch.eye(32).double()).to(hidden.dtype))


class Negated(nn.Sequential):
    """So deep that rounding alone makes more of a gradient than there is. In 16 bits it is the negative one."""

    def __init__(self):
        norms = [nn.BatchNorm1d(16, affine=False) for _ in range(20)]
        super().__init__(*(nn.Sequential(nn.Linear(16, 16), norm, nn.ReLU()) for norm in norms), nn.Linear(16, 4))

    def forward(self, x):
        y = super().forward(x)
        return 2 * y.detach() - y if y.dtype in HALVES else y


class Tracked(nn.Module):
    """Moves a buffer near 1, in 16 bits as far as `low` says."""

    far = low = 0.0

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 4)
        self.register_buffer("share", torch.ones(()))

    def forward(self, x):
        if self.training:
            self.share.add_(self.low if self.share.dtype in HALVES else self.far)
        return self.head(x)


class WithoutGradient(nn.Linear):
    """times: what its gradient is multiplied by."""

    def __init__(self):
        super().__init__(16, 4)

    def forward(self, x):
        y = super().forward(x)
        y.register_hook(lambda gradient: self.times * gradient)
        return y


class Twice(Own):
    def loss(self, model, batch):
        return super().loss(model, batch) + model(batch["x"].flip(0)).float().square().mean()


class ByLayers(Own):
    """It calls the layers of its model, and never the model."""

    def loss(self, model, batch):
        return cross_entropy(model.head(F.gelu(model.norm(model.first(batch["x"])))), batch["label"])


class Adapted(Net):
    """A frozen layer in BF16, and a small product of trained ones beside it."""

    def __init__(self):
        super().__init__()
        self.first.bfloat16().requires_grad_(False)
        self.norm.bfloat16().requires_grad_(False)
        self.down, self.up = nn.Linear(16, 4, bias=False), nn.Linear(4, 32, bias=False)

    def forward(self, x):
        hidden = self.norm(self.first(self.cast(x)))
        return self.head(F.gelu(hidden + self.up(self.down(x)).to(hidden.dtype)))

    def cast(self, x):
        return x.to(self.first.weight.dtype)


class CastByHand(Adapted):
    def cast(self, x):
        return x.bfloat16()


@pytest.fixture
def subject(monkeypatch):
    monkeypatch.setattr(workloads, "_classes", dict(workloads._classes))

    def of(kind, precision, base=Own, known=None):
        workloads._classes.pop("own-model", None)
        workloads.register(type("Named", (base,), {"name": "own-model", "kind": kind}))
        return Subject("own-model", precision, Bench(torch.device("cpu")), known)

    return of


def test_an_expert_that_few_rows_do_not_reach_is_not_asked_to_be_kept(subject):
    test_dtypes.test_kept_modules_compute_in_fp32(subject(Routed, "bf16-amp"))


def test_a_loss_may_call_its_model_twice(subject):
    test_settings.test_tf32_is_on_only_where_the_mode_says_so_and_put_back(subject(Net, "fp32", Twice))


@pytest.mark.parametrize("precision", ["fp32", "bf16-amp"])
def test_a_loss_may_call_the_layers_of_its_model(subject, precision):
    test_settings.test_tf32_is_on_only_where_the_mode_says_so_and_put_back(subject(Net, precision, ByLayers))
    test_settings.test_settings_are_put_back_after_an_exception(subject(Net, precision, ByLayers))


@pytest.mark.parametrize("precision", ["fp32", "bf16-amp", "bf16-manual"])
def test_a_frozen_layer_may_be_in_16_bits(subject, precision):
    adapted = subject(Adapted, precision)
    first = adapted.step().model.first
    assert first.weight.dtype == (torch.bfloat16 if precision == "bf16-manual" else torch.float32)
    assert torch.equal(first.weight, first.weight.bfloat16().to(first.weight.dtype))
    test_gradients.test_gradient_and_update_agree_with_fp32(adapted)
    test_evaluation.test_evaluation_agrees_with_fp32(adapted)


def test_what_its_author_casts_to_16_bits_himself_is_told(subject):
    found = subject(CastByHand, "fp32")
    step, batch = found.step(), found.batch()
    with pytest.raises(WorkloadError) as refused:
        step(batch)
    assert "test_own_models.py, line " in str(refused.value)
    assert str(refused.value).endswith("in 16 bits have the mode's format: expected casts to weight.dtype")


def test_what_python_draws_goes_on(subject):
    test_state.test_a_training_goes_on_from_what_was_saved(subject(Drawn, "fp32"))


@pytest.mark.parametrize(
    ("kind", "precision", "named"),
    [(Counting, "fp32", "'steps' of the model (Counting)"), (Widening, "bf16-true", "'mean' of the model (Widening)")],
)
def test_what_is_not_saved_is_named(subject, kind, precision, named):
    with pytest.raises(pytest.fail.Exception) as failed:
        test_state.test_a_training_goes_on_from_what_was_saved(subject(kind, precision))
    assert named in str(failed.value)


@pytest.mark.parametrize(
    ("kind", "named"),
    [(Forgetful, "training moves norm.running_mean in bf16-amp otherwise"), (OtherPath, "is off by over 0.25 is 'head'")],
)
def test_what_is_otherwise_in_evaluation_is_named(subject, kind, named):
    test_evaluation.test_evaluation_agrees_with_fp32(subject(kind, "fp32"))
    with pytest.raises(AssertionError) as failed:
        test_evaluation.test_evaluation_agrees_with_fp32(subject(kind, "bf16-amp"))
    assert named in str(failed.value)


@pytest.mark.parametrize("precision", ["bf16-amp", "bf16-manual"])
def test_a_model_may_keep_a_sparse_buffer(subject, precision):
    test_evaluation.test_evaluation_agrees_with_fp32(subject(Graph, precision))
    test_state.test_a_training_goes_on_from_what_was_saved(subject(Graph, precision))


def test_a_model_may_compute_in_fp64(subject):
    test_dtypes.test_arithmetic_is_in_the_mode_s_bits(subject(Precise, "fp32"))


@pytest.mark.parametrize("kind", [Net, Precise])
def test_a_mode_may_not_compute_more_in_fp64(subject, monkeypatch, kind):
    found = subject(kind, "fp32")
    step = found.step()
    monkeypatch.setattr(found, "step", lambda: step)
    step.model.first.double()
    step.model.first.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    step.model.first.register_forward_hook(lambda _, __, out: out.float())
    with pytest.raises(AssertionError):
        test_dtypes.test_arithmetic_is_in_the_mode_s_bits(found)


@pytest.mark.parametrize("precision", ["bf16-amp", "bf16-manual"])
def test_a_model_may_map_its_layers_over_rows(subject, precision):
    test_evaluation.test_evaluation_agrees_with_fp32(subject(Mapped, precision))


def test_what_all_modes_share_is_found_out_once(subject, monkeypatch):
    evaluated, steps, known = test_evaluation.evaluated, [], {}

    def counted(step, subject):
        steps.append(step.precision.name)
        return evaluated(step, subject)

    monkeypatch.setattr(test_evaluation, "evaluated", counted)
    for mode in ("bf16-amp", "bf16-manual"):
        test_evaluation.test_evaluation_agrees_with_fp32(subject(Net, mode, known=known))
    assert steps == ["fp32", "bf16-amp", "bf16-manual"]
    assert set(known) == {"draws", "evaluated in fp32"}


def test_a_buffer_may_move_by_less_than_its_format_resolves(subject, monkeypatch):
    monkeypatch.setattr(Tracked, "far", 1e-3)
    test_evaluation.test_evaluation_agrees_with_fp32(subject(Tracked, "bf16-true"))
    monkeypatch.setattr(Tracked, "far", 0.1)
    with pytest.raises(AssertionError, match="training moves share in bf16-true otherwise"):
        test_evaluation.test_evaluation_agrees_with_fp32(subject(Tracked, "bf16-true"))


def test_a_buffer_in_fp64_is_seen_to_move():
    model = nn.BatchNorm1d(4).double()
    before = test_evaluation.buffers(model)
    model(torch.randn(8, 4, dtype=torch.float64) + 1)
    assert all((now != before[name]).all() for name, now in test_evaluation.buffers(model).items())


@pytest.mark.parametrize(("scale", "wrong"), [(2.0, 0), (1.5, 64)])
def test_a_number_next_to_nothing_is_scaled_as_far_as_its_format_goes(scale, wrong):
    dropped = test_state.Dropped()
    subnormal = torch.full((64,), 3e-7, dtype=torch.float16)
    large = torch.ones(64, dtype=torch.float16)
    for before in (subnormal, large):
        dropped.count(before, before * scale, 0.5)
    assert dropped.misscaled == wrong


def test_a_negated_gradient_is_found_however_much_rounding_alone_makes(subject):
    negated = subject(Negated, "bf16-amp")
    assert negated.rounding_error == ERROR_CAP
    with pytest.raises(AssertionError, match="off from FP32"):
        test_gradients.test_gradient_and_update_agree_with_fp32(negated)


@pytest.mark.parametrize("times", [0.0, torch.nan])
def test_a_model_without_gradients_in_fp32_is_a_sentence(subject, monkeypatch, times):
    monkeypatch.setattr(WithoutGradient, "times", times, raising=False)
    with pytest.raises(pytest.fail.Exception, match="in FP32 no weight has a finite gradient other than 0"):
        test_gradients.test_gradient_and_update_agree_with_fp32(subject(WithoutGradient, "bf16-amp"))
