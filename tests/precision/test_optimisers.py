"""Optimisers: which are given flat weights, which can train what, and steps that are skipped on the device."""

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.execution.host import frozen_in_a_graph, host_numbers
from mpcore.precision import Inapplicable, precisions
from mpcore.precision.optimisers import ELEMENTWISE, load, saved
from mpcore.precision.scale import Skip
from mpcore.records import Recipe
from mpcore.training.step import TrainStep
from mpcore.workloads import Workload, cross_entropy

CPU = torch.device("cpu")
MODES = [name for name in precisions.names() if name not in ("tf32", "fp8", "fp8-rowwise", "fp16-true")]
SGD = Recipe(epochs=1, batch_size=16, learning_rate=0.1, optimiser="SGD", weight_decay=0.0)
ADAMW = Recipe(epochs=1, batch_size=16, learning_rate=1e-2)


class Tokens(Workload):
    """A table of 20 tokens, the label is the token's remainder."""

    name = "tokens"
    unit = "tokens"
    classes = 4
    recipes = {"tiny": SGD}
    tolerances = {"tiny": 5.0}
    build = None

    def build_model(self):
        return type(self).build()

    def data(self, split):
        tokens = torch.arange(64) % 20
        return Split({"tokens": tokens, "label": tokens % 4})

    def loss(self, model, batch):
        return cross_entropy(model(batch["tokens"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["tokens"]).argmax(-1)


def workload_of(model, recipe, own=None):
    members = {"build": staticmethod(model), "recipes": {"tiny": recipe}}
    if own is not None:
        members["optimiser"] = lambda self, groups: own(groups)
    return type("Own", (Tokens,), members)("tiny")


def sparse_model():
    return nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Linear(8, 4))


def dense_model():
    return nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 4))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.spectrum = nn.Parameter(torch.randn(8, dtype=torch.complex64))
        self.head = nn.Linear(8, 4)

    def forward(self, tokens):
        mixed = torch.fft.ifft(torch.fft.fft(self.table(tokens).float()) * self.spectrum).real
        return self.head(mixed.to(self.head.weight.dtype))


def train(workload, mode, steps=6, **options):
    step = TrainStep(workload, precisions[mode](**options), CPU)
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)
    batch = workload.split("train", CPU).rows(slice(16))
    losses = [step(batch).item() for _ in range(steps)]
    return step, losses


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("mode", [m for m in MODES if m not in ("bf16-sr", "bf16-kahan")])
def test_sparse_gradients_are_trained_as_dense_ones_are(mode, momentum):
    recipe = SGD.model_copy(update={"momentum": momentum})
    (sparse, losses), (dense, expected) = (train(workload_of(m, recipe), mode) for m in (sparse_model, dense_model))
    assert losses == pytest.approx(expected, rel=3e-2)
    assert losses[-1] < losses[0]
    for name, weight in sparse.precision.weights().items() if sparse.precision.masters else ():
        torch.testing.assert_close(weight, dense.precision.weights()[name], rtol=0.05, atol=5e-3)


REFUSALS = {
    "AdamW": (
        ADAMW,
        {},
        "AdamW has no update for the sparse gradient of 0.weight: expected SGD, or an Embedding with sparse=F",
    ),
    "decay": (
        SGD.model_copy(update={"weight_decay": 0.1}),
        {},
        "SGD has no weight decay for the sparse gradient of 0.weight: expected weight_decay=0.0",
    ),
    "clipping": (SGD, {"max_norm": 1.0}, "torch cannot clip the sparse gradient of 0.weight: expected no max_norm, or"),
}


@pytest.mark.parametrize(("recipe", "options", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_a_sparse_gradient_that_cannot_be_trained_is_named(recipe, options, sentence):
    with pytest.raises(Inapplicable) as refused:
        train(workload_of(sparse_model, recipe), "fp32", **options)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("recipe", [SGD, ADAMW], ids=["SGD", "AdamW"])
@pytest.mark.parametrize("mode", MODES)
def test_complex_weights_are_trained_with_their_imaginary_part(mode, recipe):
    own = workload_of(Complex, recipe)
    if mode == "fp16-amp":
        with pytest.raises(Inapplicable, match="torch's GradScaler cannot unscale the complex gradient of spectrum"):
            train(own, mode)
        return
    if mode in ("bf16-sr", "bf16-kahan") and recipe is SGD:
        pytest.skip("has Adam only")
    (step, losses), (fp32, expected) = train(own, mode), train(own, "fp32")
    assert losses == pytest.approx(expected, rel=0.1)
    spectrum = step.model.spectrum
    assert spectrum.dtype == torch.complex64
    torch.testing.assert_close(spectrum, fp32.model.spectrum, rtol=0.1, atol=0.1)
    assert torch.equal(step.precision.weights()["spectrum"], torch.view_as_real(spectrum.detach()))
    torch.manual_seed(0)
    start = Complex().spectrum
    assert (spectrum - start).imag.abs().max() > 1e-3
    assert spectrum.imag.abs().min() > 0


@pytest.mark.parametrize("kind", ELEMENTWISE, ids=lambda kind: kind.__name__)
def test_an_elementwise_optimiser_does_to_flat_weights_what_it_does_to_each(kind):
    """Were one of the list to look at a whole tensor, its weights would differ."""
    flat, _ = train(workload_of(dense_model, ADAMW, lambda groups: kind(groups)), "bf16-manual")
    assert [len(g["params"]) for g in flat.precision.optimiser.param_groups] == [1]
    derived = type("Derived", (kind,), {})
    each, _ = train(workload_of(dense_model, ADAMW, lambda groups: derived(groups)), "bf16-manual")
    assert [len(g["params"]) for g in each.precision.optimiser.param_groups] == [3]
    for name, weight in flat.precision.weights().items():
        torch.testing.assert_close(weight, each.precision.weights()[name])


def test_muon_is_given_tensor_by_tensor():
    def model():
        return nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 4, bias=False))

    own = workload_of(model, ADAMW, lambda groups: torch.optim.Muon(groups, momentum=0.9))
    for mode in ("fp32", "fp16-amp", "bf16-manual", "fp16-manual"):
        step, losses = train(own, mode, steps=12)
        assert [p.shape for p in step.precision.optimiser.param_groups[0]["params"]] == [(20, 8), (4, 8)]
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("mode", ["bf16-sr", "bf16-kahan"])
def test_a_mode_with_an_optimiser_of_its_own_says_so(mode):
    with pytest.raises(Inapplicable, match=f"{mode} has Adam and AdamW for optimisers, and not the workload's own"):
        train(workload_of(dense_model, ADAMW, lambda groups: torch.optim.RMSprop(groups)), mode)


def test_an_optimiser_that_asks_for_a_closure_is_refused():
    with pytest.raises(Inapplicable, match="LBFGS asks for the loss several times a step, in a closure"):
        train(workload_of(dense_model, ADAMW, lambda groups: torch.optim.LBFGS(groups[0]["params"])), "fp32")


class Counting(torch.optim.Optimizer):
    """Plain descent, that counts its steps in Python."""

    def __init__(self, groups):
        super().__init__(groups, {"count": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["count"] += 1
            for p in (p for p in group["params"] if p.grad is not None):
                p.add_(p.grad, alpha=-group["lr"] / group["count"])


@pytest.mark.parametrize("mode", ["fp16-amp", "fp16-manual"])
@pytest.mark.parametrize("kind", [torch.optim.RMSprop, torch.optim.NAdam, torch.optim.AdamW, torch.optim.Muon, Counting])
def test_an_optimiser_that_is_not_fused_skips_a_step_whole(mode, kind):
    """The first, which has no state yet, and one in the middle."""

    def model():
        return nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 4, bias=False))

    own = workload_of(model, ADAMW, lambda groups: kind(groups))
    curves = []
    for bad in ((), (0, 1, 4, 5)):
        step, _ = train(own, mode, steps=0)
        batch, losses = own.split("train", CPU).rows(slice(16)), []
        for number in range(6 + len(bad)):
            scale = step.precision.loss_scale
            if number in bad:
                scale.fill_(torch.inf)
            loss = step(batch).item()
            scale.fill_(1024.0)
            if number not in bad:
                losses.append(loss)
        curves.append(losses)
        assert step.precision.state().skipped_steps == len(bad)
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0]


@pytest.mark.parametrize("kind", [torch.optim.RMSprop, Counting])
def test_the_host_is_asked_only_until_there_is_a_state_to_put_back(kind):
    weight = torch.ones(4)
    optimiser = kind([{"params": [weight], "lr": 0.1}])
    skip = Skip(optimiser)
    ready = []
    for found_inf in (1.0, 1.0, 0.0, 1.0, 0.0):
        weight.grad = torch.ones(4)
        skip(torch.tensor(found_inf))
        ready.append(skip.ready)
    assert ready == [False, False, True, True, True]
    assert host_numbers(optimiser) != []
    assert skip.on_host == (kind is Counting)


def test_a_rate_on_the_host_would_freeze_in_a_graph():
    """On a CPU nothing is captured, and all rates are there."""
    optimiser = torch.optim.Muon([nn.Parameter(torch.ones(2, 2))])
    assert frozen_in_a_graph(optimiser) == (
        "Muon reads its learning rate on the host, where a graph would freeze it: expected --mp-execution eager"
    )


@pytest.mark.parametrize("kept", [torch.tensor(3.0), {"count": torch.tensor(3.0), "name": "x"}, 3])
def test_what_is_remembered_of_no_weight_is_loaded_in_place(kept):
    """A graph reads it where it was."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    optimiser.state["all"] = kept
    was = saved(optimiser)
    for tensor in tensors_of(kept):
        tensor.add_(1)
    assert load(optimiser, was)
    assert saved(optimiser)["shared"] == was["shared"]
    places = [x.data_ptr() for x in tensors_of(optimiser.state["all"])]
    assert places == [x.data_ptr() for x in tensors_of(kept)]


def test_a_tensor_of_no_weight_that_was_not_there_is_no_place_of_a_graph():
    optimiser, other = (torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1) for _ in range(2))
    optimiser.state["all"] = {"count": torch.tensor(3.0)}
    other.state["all"] = {}
    assert not load(other, saved(optimiser))
    assert other.state["all"]["count"] == 3


def tensors_of(kept):
    return [x for x in (kept.values() if isinstance(kept, dict) else [kept]) if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize("mode", ["bf16-true", "fp16-true"])
def test_sgd_moves_every_entry_of_a_16_bit_weight_on_a_cpu(mode):
    layer = nn.Linear(64, 1, bias=False)
    nn.init.zeros_(layer.weight)
    precision = precisions[mode]()
    precision.prepare(layer, SGD)
    precision.backward(layer(torch.ones(1, 64)).float().sum())
    precision.update()
    assert (layer.weight < 0).all()
