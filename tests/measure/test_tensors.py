"""A fault in one layer is found in that layer, and named, where a sum over all shows nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.gate import checks
from mpcore.gate.limits import ERROR_CAP, TENSOR_UPDATE_ERROR
from mpcore.measure.numerics import measure_numerics
from mpcore.measure.observation import observe
from mpcore.measure.requirements import requirements_of
from mpcore.measure.setup import Setup
from mpcore.measure.tensors import length
from mpcore.measure.yardstick import UpdateRounding, Yardstick
from mpcore.precision import precisions
from mpcore.precision.master import MasterWeights
from mpcore.precision.pure import FP64
from mpcore.records import Case
from mpcore.training.step import TrainStep

LOW = (torch.float16, torch.bfloat16)
EACH = ["fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual", "bf16-true"]


class Net(nn.Module):
    """fault: what becomes of the side path in 16 bits."""

    fault = staticmethod(lambda side: side)

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(16, 64), nn.Linear(64, 2)
        self.side = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 64))
        nn.init.normal_(self.side[2].weight, std=0.02)

    def forward(self, x):
        side = self.side(x)
        if side.dtype in LOW:
            side = self.fault(side)
        return self.head(F.gelu(self.body(x)) + side)


@pytest.fixture
def net(dots, monkeypatch):
    """net(fault): the workload whose side path has that fault in 16 bits."""

    def faulty(fault=Net.fault):
        monkeypatch.setattr(Net, "fault", staticmethod(fault))
        return dots

    dots.build_model = Net
    return faulty


def measured(workload, name, cpu):
    batch = workload.split("train", cpu).rows(slice(32))
    case = Case(workload="dots", precision=name, size="tiny")
    yardstick = Yardstick(TrainStep(workload, FP64(), cpu, dropout=False), batch)
    return measure_numerics(Setup(case, workload, cpu, requirements_of(case, workload, cpu)), batch, yardstick)


def failed(numerics):
    return {check.metric: check.sentence for check in checks(numerics) if not check.passed}


@pytest.mark.parametrize("name", ["fp32", "fp16-forward", *EACH])
def test_nothing_is_said_of_a_net_without_a_fault(net, cpu, name):
    numerics = measured(net(), name, cpu)
    assert failed(numerics) == {}
    assert [t.name for t in numerics.tensors] == [
        *("side.0.weight", "side.0.bias", "side.2.weight", "side.2.bias"),
        *("body.weight", "body.bias", "head.weight", "head.bias"),
    ]
    assert sum(t.norm_share**2 for t in numerics.tensors) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("name", EACH)
def test_a_layer_without_a_gradient_is_named(net, cpu, name):
    found = failed(measured(net(lambda side: side.detach() + 0 * side), name, cpu))
    sentence = found["worst tensor's gradient"]
    assert sentence.startswith("dots: the gradient of side.")
    assert f"(Linear) in {name} is 1 off from fp64" in sentence
    assert "All of it is missing" in sentence
    assert "worst tensor's update" not in found, "it is said once"


@pytest.mark.parametrize("name", EACH)
def test_a_gradient_of_twice_its_length_is_not_called_missing(net, cpu, name, monkeypatch):
    """As of a loss that is added up twice."""
    backward = precisions[name].backward
    monkeypatch.setattr(precisions[name], "backward", lambda self, loss: backward(self, 2 * loss))
    sentence = failed(measured(net(), name, cpu))["worst tensor's gradient"]
    assert "It points the same way, and is 2 times as long, and so are all that are too far off" in sentence
    assert "missing" not in sentence


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([2.0, 0.02], 2.0),
        ([-1.0, 0.0], None),
        ([1e-3, 0.0], 1e-3),
        ([0.0, 0.0], None),
        ([1.0, 0.09], None),
        ([1.2, 0.01], 1.2),
        ([2.0, 1.0], None),
    ],
)
def test_a_length_is_said_of_what_points_the_same_way(value, expected):
    found = length(torch.tensor(value), torch.tensor([1.0, 0.0]))
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("name", ["bf16-amp", "bf16-manual"])
def test_a_layer_whose_gradient_is_six_per_cent_off_is_named(net, cpu, name):
    """The limit of all tensors together, 25 %, lets it pass."""
    found = failed(measured(net(lambda side: side + 0.06 * (side - side.detach())), name, cpu))
    assert set(found) == {"worst tensor's gradient"}
    assert "the gradient of side." in found["worst tensor's gradient"]


def test_masters_that_are_dropped_in_one_layer_are_named(net, cpu, monkeypatch):
    update = MasterWeights.update

    def without_some(self):
        update(self)
        with torch.no_grad():
            for group in self.groups:
                group.masters["side.2.weight"].copy_(group.parameters["side.2.weight"])

    monkeypatch.setattr(MasterWeights, "update", without_some)
    found = failed(measured(net(), "bf16-manual", cpu))
    assert found["worst tensor's update"].startswith("dots: the update of side.2.weight (Linear) in bf16-manual is ")


@pytest.mark.parametrize(("alone", "named"), [(0.1, True), (0.3, True), (0.4, False)])
def test_updates_beyond_their_limit_are_held_against_what_rounding_does_to_as_many(net, cpu, monkeypatch, alone, named):
    """Of the first update it may do next to nothing, and much to the net of twenty: a gradient may change its sign."""

    def short_of_some(*args, **options):
        observed = observe(*args, **options)
        return replace(observed, updates={name: 0.45 * update for name, update in observed.updates.items()})

    monkeypatch.setattr("mpcore.measure.numerics.observe", short_of_some)
    monkeypatch.setattr(Yardstick, "rounding_of_updates", does_to_updates(alone))
    found = measured(net(), "bf16-manual", cpu)
    errors = failed(found)
    assert [t.name for t in found.tensors if t.update_limit is None] == (
        [] if alone < 1 / 3 else [t.name for t in found.tensors]
    )
    assert ("worst tensor's update" in errors) is named


def test_what_rounding_does_to_all_updates_may_not_be_known(net, cpu, monkeypatch):
    """The first limits stand then, and it is said."""

    def no_memory(self, _):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    def short_of_some(*args, **options):
        observed = observe(*args, **options)
        return replace(observed, updates={name: 0.45 * update for name, update in observed.updates.items()})

    monkeypatch.setattr("mpcore.measure.numerics.observe", short_of_some)
    monkeypatch.setattr(Yardstick, "rounding_of_updates", no_memory)
    found = measured(net(), "bf16-manual", cpu)
    assert "worst tensor's update" in failed(found)
    assert found.remark.startswith("what rounding does to all updates of ")
    assert found.remark.endswith(" is not known (CUDA out of memory)")


def test_updates_within_their_limit_cost_no_more_steps(net, cpu, monkeypatch):
    monkeypatch.setattr(Yardstick, "rounding_of_updates", lambda *_: pytest.fail("nothing is to be explained"))
    assert failed(measured(net(), "bf16-manual", cpu)) == {}


def test_single_updates_are_judged_as_sharply_where_rounding_explains_more_of_all(net, cpu, monkeypatch):
    monkeypatch.setattr(Yardstick, "rounding_errors", with_a_whole_of(0.2, Yardstick.rounding_errors))
    numerics = measured(net(), "fp16-manual", cpu)
    assert numerics.requirements.update_error == ERROR_CAP
    assert {tensor.update_limit for tensor in numerics.tensors} == {TENSOR_UPDATE_ERROR}


def does_to_updates(error):
    return lambda self, _: UpdateRounding(dict.fromkeys(self.layers, error), error)


@pytest.mark.parametrize(("alone", "limit"), [(0.01, 0.0625), (0.04, 0.1)])
def test_all_updates_together_are_held_against_what_rounding_does_to_as_many(net, cpu, monkeypatch, alone, limit):
    def short_by_a_little(*args, **options):
        observed = observe(*args, **options)
        return replace(observed, updates={name: 0.92 * update for name, update in observed.updates.items()})

    monkeypatch.setattr("mpcore.measure.numerics.observe", short_by_a_little)
    monkeypatch.setattr(Yardstick, "rounding_of_updates", does_to_updates(alone))
    found = measured(net(), "fp16-manual", cpu)
    assert found.requirements.update_error == pytest.approx(limit)
    assert ("update error" in failed(found)) is (found.update_error > limit)
    assert 0.0625 < found.update_error < 0.1


def with_a_whole_of(error, rounding_errors):
    return lambda self, roundoff: replace(rounding_errors(self, roundoff), whole=error)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.head = (nn.Linear(4, n) for n in (4, 4, 4, 2))

    def forward(self, x):
        x = x.unflatten(-1, (4, 4))
        return self.head(F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x)).mean(1))


@pytest.mark.parametrize("name", ["fp32", "bf16-amp", "fp16-manual"])
def test_the_bias_of_attention_s_keys_has_no_gradient_but_rounding(dots, cpu, name):
    dots.build_model = Attention
    numerics = measured(dots, name, cpu)
    assert [t.name for t in numerics.tensors if t.gradient_error is None] == ["key.bias"]
    assert not any(metric.startswith("worst tensor") for metric in failed(numerics))


class Normed(nn.Sequential):
    """All tokens of a row have the same gradient behind the norm, whose rounding does not cancel. in_fp32: whether its author
    casts what the norm is given."""

    in_fp32 = False

    def __init__(self):
        super().__init__(nn.Linear(1, 32), nn.LayerNorm(32), nn.Linear(32, 2))

    def forward(self, x):
        hidden = self[0](x.unsqueeze(-1))
        return self[2](self[1](hidden.float() if self.in_fp32 and hidden.dtype in LOW else hidden).mean(1))


def test_a_cpu_adds_up_the_gradients_of_a_layer_norm_in_16_bits(dots, cpu):
    """Under autocast, too, where its weights are in FP32. Of other weights as little is allowed as ever."""
    dots.build_model = Normed
    numerics = measured(dots, "bf16-amp", cpu)
    assert not failed(numerics)
    limits = {tensor.name: tensor.gradient_limit for tensor in numerics.tensors}
    assert limits["1.bias"] > 64 * 2**-8 > limits["2.bias"]


@pytest.mark.parametrize("kept", [False, True], ids=["its author casts", "keep_fp32"])
def test_a_layer_norm_that_is_given_fp32_is_judged_as_sharply_as_ever(dots, cpu, monkeypatch, kept):
    monkeypatch.setattr(Normed, "in_fp32", not kept)
    dots.build_model = Normed
    dots.keep_fp32 = ("1",) if kept else ()
    numerics = measured(dots, "bf16-amp", cpu)
    assert not failed(numerics)
    limits = {tensor.name: tensor.gradient_limit for tensor in numerics.tensors}
    assert limits["1.bias"] < 64 * 2**-8, limits
