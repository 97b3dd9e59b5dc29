"""Recipes, parameter groups, optimisers and schedules are honoured by every mode, or refused in one sentence."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mpcore.data import Split
from mpcore.precision import Inapplicable, precisions
from mpcore.precision.autocast import BF16Autocast
from mpcore.precision.native import FP32
from mpcore.records import Recipe
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep
from mpcore.workloads import Group, Workload, WorkloadError, cross_entropy
from mpcore.workloads.checked import check_last_batch

CPU = torch.device("cpu")
MODES = [name for name in precisions.names() if name not in ("tf32", "fp8", "fp8-rowwise", "fp16-true")]
RATE, DECAY = 1e-2, 0.1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.GELU())
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.body(x))


class Grouped(Workload):
    name = "grouped"
    unit = "rows"
    classes = 4
    recipes = {"tiny": Recipe(epochs=2, batch_size=32, learning_rate=RATE, weight_decay=DECAY)}
    tolerances = {"tiny": 5.0}

    def build_model(self):
        return Net()

    def data(self, split):
        generator = torch.Generator().manual_seed(0)
        label = torch.randint(4, (100,), generator=generator)
        return Split({"x": torch.randn(100, 16, generator=generator), "label": label})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)

    def groups(self, model):
        yield Group(model.body.parameters(), rate=0.1, decay=0.0)
        yield Group(model.head.parameters())


def variant(**members):
    recipe = members.pop("recipe", {})
    changed = {"recipes": {"tiny": Grouped.recipes["tiny"].model_copy(update=recipe)}} | members
    return type("Variant", (Grouped,), changed)("tiny")


def moved(workload, mode, steps=1):
    """How far each tensor was moved, at most."""
    step = TrainStep(workload, precisions[mode](), CPU)
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)
    before = {name: w.detach().clone().float() for name, w in step.precision.weights().items()}
    for _ in range(steps):
        step(workload.split("train", CPU).rows(slice(32)))
    return {name: (w.float() - before[name]).abs().max().item() for name, w in step.precision.weights().items()}


@pytest.mark.parametrize("mode", MODES)
def test_each_group_is_trained_at_its_rate_in_every_mode(mode):
    """The first update of Adam is as large as its rate."""
    by_name = moved(variant(recipe={"weight_decay": 0.0}), mode)
    in_16_bits = mode in ("bf16-true", "bf16-sr", "bf16-kahan")  # where an update is rounded, waits, or is lost
    no_gradient = "body.0.bias"  # in front of a BatchNorm
    for name in ("body.1.bias", "head.bias") if in_16_bits else by_name.keys() - {no_gradient}:
        rate = 0.1 * RATE if name.startswith("body") else RATE
        assert by_name[name] == pytest.approx(rate, rel=0.3 if mode.startswith("bf16-") else 0.05), name


@pytest.mark.parametrize("mode", ["fp32", "bf16-amp", "fp16-manual", "bf16-kahan"])
def test_each_group_decays_by_its_factor(mode):
    """Of the same steps with and without decay the weights of the group whose factor is 0 are the same to the bit."""
    steps = [TrainStep(variant(recipe={"weight_decay": d}, loss=zero), precisions[mode](), CPU) for d in (0.0, DECAY)]
    before = {name: w.detach().clone().float() for name, w in steps[1].precision.weights().items()}
    for step in steps:
        step(step.workload.split("train", CPU).rows(slice(32)))
    without, with_decay = ({name: w.float() for name, w in s.precision.weights().items()} for s in steps)
    assert torch.equal(without["body.0.weight"], with_decay["body.0.weight"])
    torch.testing.assert_close(with_decay["head.weight"], before["head.weight"] * (1 - RATE * DECAY), rtol=4e-3, atol=1e-4)
    if mode != "bf16-kahan":  # where it waits in the compensation
        assert not torch.equal(without["head.weight"], with_decay["head.weight"])


def zero(self, model, batch):
    return 0 * cross_entropy(model(batch["x"]), batch["label"])


@pytest.mark.parametrize("mode", MODES)
def test_a_learning_rate_is_multiplied_by_the_factors(mode):
    precision = TrainStep(Grouped("tiny"), precisions[mode](), CPU).precision
    precision.set_learning_rate(0.5)
    assert [float(g["lr"]) for g in precision.optimiser.param_groups] == pytest.approx([0.05, 0.5])
    precision.set_learning_rate(0.0)
    assert [float(g["lr"]) for g in precision.optimiser.param_groups] == [0, 0]
    precision.set_learning_rate(RATE)
    assert [float(g["lr"]) for g in precision.optimiser.param_groups] == pytest.approx([0.1 * RATE, RATE])


class ByHand(BF16Autocast):
    """Groups as a mode of one's own makes them."""

    name = "by-hand"

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        groups = [{"params": model.body.parameters(), "lr": recipe.learning_rate / 1000}, {"params": model.head.parameters()}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def test_groups_that_a_mode_of_one_s_own_has_made_keep_their_rates():
    own = variant(groups=Workload.groups)
    step = TrainStep(own, ByHand(), CPU)
    fit(step, own.split("train", CPU))
    step.precision.set_learning_rate(RATE)
    assert [g["lr"] for g in step.precision.optimiser.param_groups] == pytest.approx([RATE / 1000, RATE])
    assert step.remark == (
        "its own optimiser has groups at 0.001, 1 times the recipe's rate, and other modes have none: "
        "expected groups() in the workload. All modes honour them"
    )
    assert TrainStep(Grouped("tiny"), FP32(), CPU).remark is None


def test_a_mode_that_leaves_out_the_workload_s_groups_says_so():
    with pytest.raises(Inapplicable) as refused:
        TrainStep(Grouped("tiny"), ByHand(), CPU)
    assert (
        str(refused.value) == "by-hand builds an optimiser of its own, which leaves out what groups() of the workload returns"
    )


@pytest.mark.parametrize("mode", ["fp32", "bf16-manual", "fp16-manual", "fp16-amp"])
def test_the_workload_s_optimiser_is_the_one_that_trains(mode):
    """Flat weights for one that torch has, each group's own; the rates that it came with are kept."""

    def optimiser(self, groups):
        return torch.optim.RMSprop([groups[0] | {"lr": 1e-4}, groups[1]], momentum=0.5)

    step = TrainStep(variant(optimiser=optimiser), precisions[mode](), CPU)
    assert type(step.precision.optimiser) is torch.optim.RMSprop
    step.precision.set_learning_rate(2 * RATE)
    assert [float(g["lr"]) for g in step.precision.optimiser.param_groups] == pytest.approx([2e-4, 2 * RATE])
    assert [len(g["params"]) for g in step.precision.optimiser.param_groups] == ([2, 1] if "manual" in mode else [4, 2])
    batch = step.workload.split("train", CPU).rows(slice(32))
    losses = [step(batch).item() for _ in range(12)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recipe", [{"max_norm": 1e-3}, {"betas": (0.5, 0.9), "eps": 1e-3}], ids=["clipped", "betas"])
def test_the_recipe_is_honoured_by_every_mode(mode, recipe):
    """As it is by torch in FP32."""
    step = TrainStep(variant(recipe=recipe), precisions[mode](), CPU)
    if step.precision.loss_scale is not None:
        step.precision.loss_scale.fill_(1024.0)
    norms = []

    def look(*_):
        norms.append(torch.stack([g.double().norm() for g in step.precision.gradients().values()]).norm().item())

    step.precision.optimiser.register_step_pre_hook(look)
    step(step.workload.split("train", CPU).rows(slice(32)))
    if "max_norm" in recipe:
        assert norms == [pytest.approx(1e-3, rel=0.05)]
    else:
        assert norms[0] > 1e-2
    for group in step.precision.optimiser.param_groups:
        assert (group["betas"], group["eps"]) == (recipe.get("betas", (0.9, 0.999)), recipe.get("eps", 1e-8))


@pytest.mark.parametrize("mode", ["fp32", "fp16-amp", "bf16-manual"])
def test_momentum_is_sgd_s(mode):
    step = TrainStep(variant(recipe={"optimiser": "SGD", "momentum": 0.9}), precisions[mode](), CPU)
    assert {g["momentum"] for g in step.precision.optimiser.param_groups} == {0.9}


def test_what_another_optimiser_has_is_refused_in_a_recipe():
    with pytest.raises(ValidationError, match="AdamW has none, SGD has"):
        Recipe(epochs=1, batch_size=1, learning_rate=1, momentum=0.9)
    with pytest.raises(ValidationError, match="SGD has none, Adam and AdamW have"):
        Recipe(epochs=1, batch_size=1, learning_rate=1, optimiser="SGD", betas=(0.9, 0.95))


def test_a_step_is_the_whole_accumulated_step():
    """As many parts as the recipe says, one update."""
    own, parts, updates = variant(recipe={"accumulation": 4}), [], []
    step = TrainStep(own, FP32(), CPU)
    step.model.register_forward_pre_hook(lambda _, args: parts.append(len(args[0])))
    step.precision.optimiser.register_step_pre_hook(lambda *_: updates.append(1))
    step(own.split("train", CPU).rows(slice(32)))
    assert parts == [8, 8, 8, 8]
    assert updates == [1]


def test_a_last_batch_is_dropped_where_the_recipe_says_so():
    own, rows = variant(recipe={"drop_last": True}), []
    step = TrainStep(own, FP32(), CPU)
    step.model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    assert len(fit(step, own.split("train", CPU)).losses) == len(rows) == 6
    assert set(rows) == {32}
    assert own.recipe.steps_per_epoch(100) == 3
    assert Grouped("tiny").recipe.steps_per_epoch(100) == 4


def test_the_workload_s_schedule_decides_the_rate():
    seen, rates = [], []

    def schedule(self, step, steps):
        seen.append((step, steps))
        return 1 / step

    own = variant(schedule=schedule)
    step = TrainStep(own, FP32(), CPU)
    step.precision.optimiser.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[1]["lr"]))
    fit(step, own.split("train", CPU))
    assert seen == [(n, 8) for n in range(1, 9)]
    assert rates == pytest.approx([RATE / n for n in range(1, 9)])


def no_group(self, model):
    return [Group(model.head.parameters())]


def two_groups(self, model):
    return [Group(model.parameters()), Group(model.head.parameters())]


def not_the_model_s(self, model):
    return [Group(model.parameters()), Group([nn.Parameter(torch.ones(3))])]


MISTAKES = {
    "no group": ({"groups": no_group}, "groups() returned body.0.weight in no groups: expected each weight in one"),
    "two groups": ({"groups": two_groups}, "groups() returned head.weight in 2 groups: expected each weight in one"),
    "dicts": (
        {"groups": lambda self, model: [{"params": model.parameters()}]},
        "groups() returned dict {'params':",
    ),
    "another parameter": ({"groups": not_the_model_s}, "groups() returned a tensor of shape (3,) and torch.float32: expected"),
    "a weight for a list": (
        {"groups": lambda self, model: [Group(model.head.weight)]},
        "groups() returned a tensor of shape (16,) and torch.float32: expected parameters of the model in its groups",
    ),
    "a negative rate": (
        {"groups": lambda self, model: [Group(model.parameters(), rate=-1)]},
        "groups() returned int -1: expected factors of rate and decay from 0",
    ),
    "an exception": ({"groups": lambda self, model: 1 / 0}, "groups() failed: ZeroDivisionError"),
    "an optimiser of some": (
        {"optimiser": lambda self, groups: torch.optim.SGD(groups[1:])},
        "optimiser() returned one with body.0.weight in no parameter groups: expected each weight in one",
    ),
    "no optimiser": ({"optimiser": lambda self, groups: None}, "optimiser() returned NoneType None: expected an optimiser of"),
    "an optimiser that refuses": (
        {"optimiser": lambda self, groups: torch.optim.Muon(groups)},
        "optimiser() failed: Muon only supports 2D parameters",
    ),
}


@pytest.mark.parametrize("mode", ["fp32", "bf16-manual"])
@pytest.mark.parametrize(("members", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_workload_s_method(mode, members, sentence):
    with pytest.raises(WorkloadError) as refused:
        TrainStep(variant(**members), precisions[mode](), CPU)
    assert str(refused.value).startswith(f"grouped: {sentence}")


@pytest.mark.parametrize("share", [-0.1, float("nan"), None])
def test_a_schedule_that_is_no_share_is_named(share):
    own = variant(schedule=lambda self, step, steps: share)
    with pytest.raises(WorkloadError, match=r"^grouped: schedule\(1, 8\) returned .*: expected a share of the learning rate"):
        fit(TrainStep(own, FP32(), CPU), own.split("train", CPU))


LAST_BATCHES = {
    "one row": ({"batch_size": 33}, "data('train') has 100 rows, and its last batch has one row"),
    "one row in a part": (
        {"batch_size": 49, "accumulation": 2},
        "data('train') has 100 rows, and its last part of a batch has one row",
    ),
    "dropped": ({"batch_size": 33, "drop_last": True}, None),
    "two rows": ({"batch_size": 49}, None),
}


@pytest.mark.parametrize(("recipe", "sentence"), LAST_BATCHES.values(), ids=LAST_BATCHES)
def test_a_last_batch_of_one_row_is_said_at_the_start(recipe, sentence):
    own = variant(recipe=recipe)
    if sentence is None:
        check_last_batch(own)
        return
    with pytest.raises(WorkloadError) as refused:
        check_last_batch(own)
    assert sentence in str(refused.value)
    assert "The BatchNorm 'body.1' takes no statistics of one: expected drop_last=True in its Recipe" in str(refused.value)


@pytest.mark.parametrize(("recipe", "ranks"), [({"batch_size": 98}, 2), ({"batch_size": 96}, 4)])
def test_a_last_batch_may_have_one_row_for_each_gpu(recipe, ranks):
    """The ranks share it: two rows or four."""
    own = variant(recipe=recipe)
    check_last_batch(own)
    with pytest.raises(
        WorkloadError, match=rf"has 100 rows, and its last batch has one row for each of {ranks} GPUs. The BatchNorm 'body.1'"
    ):
        check_last_batch(own, ranks)
    check_last_batch(variant(recipe=recipe | {"drop_last": True}), ranks)


def test_a_last_batch_of_one_image_has_statistics():
    """Of its pixels."""

    def build_model(self):
        return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 4))

    check_last_batch(variant(recipe={"batch_size": 33}, build_model=build_model, groups=Workload.groups))


def test_lazy_layers_get_their_weights_from_the_first_batch():
    def build_model(self):
        return nn.Sequential(nn.LazyLinear(8), nn.GELU(), nn.LazyLinear(4))

    own = variant(build_model=build_model, groups=Workload.groups)
    steps = [TrainStep(own, precisions[mode](), CPU) for mode in ("fp32", "bf16-manual")]
    assert {n: p.shape for n, p in steps[0].model.named_parameters()} == {
        "0.weight": (8, 16), "0.bias": (8,), "2.weight": (4, 8), "2.bias": (4,),
    }  # fmt: skip
    for name, weight in steps[0].precision.weights().items():
        assert torch.equal(weight, steps[1].precision.weights()[name])


def test_a_lazy_layer_that_the_loss_does_not_reach_is_named():
    def build_model(self):
        model = Net()
        model.spare = nn.LazyLinear(3)
        return model

    with pytest.raises(WorkloadError, match=r"^grouped: spare.weight has no size, for loss\(\) on the first batch does not"):
        TrainStep(variant(build_model=build_model, groups=Workload.groups), FP32(), CPU)


class Energy(nn.Module):
    """Predicts by a gradient."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
        return gradient[:, :4]


@pytest.mark.parametrize("mode", ["fp32", "bf16-amp", "bf16-manual"])
def test_a_model_that_predicts_by_a_gradient_is_evaluated(mode):
    own = variant(build_model=lambda self: Energy(), groups=Workload.groups)
    step = TrainStep(own, precisions[mode](), CPU)
    batch = own.split("train", CPU).rows(slice(8))
    step(batch)
    predicted = [step.predict(batch) for _ in range(2)]
    assert torch.equal(*predicted)
    assert not predicted[0].requires_grad
    assert all(p.grad is None for p in step.model.parameters())
