"""What formats a model's author mixes is found, and obeyed by the modes that cast the model."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

from mpcore.device.flops import FlopCount
from mpcore.precision import Inapplicable, PrecisionError
from mpcore.precision.autocast import BF16Autocast
from mpcore.precision.master import BF16MasterWeights
from mpcore.precision.native import FP32
from mpcore.precision.pure import BF16True
from mpcore.precision.variant import Variant
from mpcore.training.formats import called_modules, formats_differ, fp32_modules, mixes_formats
from mpcore.training.generators import seed_everything
from mpcore.training.step import TrainStep

CASTING = [BF16MasterWeights, BF16True]


class Routed(nn.Module):
    """A router in FP32 by its author's hand."""

    def __init__(self):
        super().__init__()
        self.first, self.router, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        h = self.first(x)
        with torch.autocast("cpu", enabled=False):
            gate = self.router(h.float()).softmax(-1)
        return self.last(h * gate.to(h.dtype))


class Timed(nn.Module):
    """Makes an embedding in FP32 inside."""

    def __init__(self):
        super().__init__()
        self.first, self.time, self.last = nn.Linear(16, 16), nn.Linear(8, 16), nn.Linear(16, 2)

    def forward(self, x):
        time = torch.arange(8, dtype=torch.float32).cos().expand(len(x), 8)
        h = self.first(x)
        return self.last(h + self.time(time).to(h.dtype))


class Functional(nn.Module):
    """Multiplies in FP32 with a weight that is no module's."""

    def __init__(self):
        super().__init__()
        self.first, self.weight = nn.Linear(16, 16), nn.Parameter(torch.eye(2, 16))

    def forward(self, x):
        return nn.functional.linear(self.first(x).float(), self.weight)


@pytest.fixture
def step(dots, cpu, monkeypatch):
    def step(build, mode, **options):
        monkeypatch.setattr(dots, "build_model", build)
        return TrainStep(dots, mode(**options), cpu, dropout=False)

    return step


@pytest.fixture
def batch(dots, cpu):
    return dots.split("train", cpu).rows(slice(8))


@pytest.mark.parametrize("mode", CASTING)
def test_what_runs_with_autocast_off_is_kept_in_fp32(step, batch, mode):
    routed = step(Routed, mode)
    assert routed(batch).isfinite()
    assert [kept.name for kept in routed.precision.kept] == ["router"]
    assert routed.model.router.weight.dtype == torch.float32
    assert routed.model.last.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("mode", CASTING)
def test_what_makes_a_weight_of_others_is_kept_in_fp32(step, batch, mode):
    made = step(lambda: nn.Sequential(orthogonal(nn.Linear(16, 16)), nn.Linear(16, 2)), mode)
    assert made(batch).isfinite()
    assert [kept.name for kept in made.precision.kept] == ["0.parametrizations.weight"]


@pytest.mark.parametrize("mode", CASTING)
def test_a_tensor_in_fp32_that_is_made_inside_is_cast(step, batch, mode):
    timed, seen = step(Timed, mode), []
    timed.model.time.register_forward_hook(lambda _module, args, out: seen.append((args[0].dtype, out.dtype)))
    assert timed(batch).isfinite()
    assert seen == [(torch.bfloat16, torch.bfloat16)]


@pytest.mark.parametrize("mode", CASTING)
def test_a_product_that_no_module_makes_is_one_sentence(step, batch, mode):
    said = rf"{mode.name} keeps nothing in FP32, and 16 bits meet FP32 in the model.*\(test_mixed_formats.py, line "
    with pytest.raises(Inapplicable, match=said):
        step(Functional, mode)(batch)


class Scattered(nn.Module):
    """Adds up in a tensor that is FP32 by itself."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        h = self.first(x)
        index = torch.arange(len(h))[:, None].expand_as(h)
        return self.last(torch.zeros(h.shape).scatter_add(0, index, h))


@pytest.mark.parametrize("mode", CASTING)
def test_a_sum_of_16_bits_in_fp32_is_one_sentence(step, batch, mode):
    with pytest.raises(Inapplicable, match=rf"{mode.name} keeps nothing in FP32, and 16 bits meet FP32 in the model"):
        step(Scattered, mode)(batch)


class Computes(nn.Module):
    """What torch has in no 16 bits."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(16, 16), nn.Linear(16, 2), function

    def forward(self, x):
        h = self.first(x)
        return self.last(self.function(h).float().to(h.dtype).reshape(len(h), -1)[:, :16])


ONLY_WIDER = {
    "a rotation": lambda h: torch.polar(h, h).abs(),
    "pairs as complex numbers": lambda h: torch.view_as_real(torch.view_as_complex(h.unflatten(1, (8, 2)))),
    "a Fourier transform": lambda h: torch.fft.rfft(h, n=30).abs(),
    "an inverse": lambda h: torch.linalg.inv(h.unflatten(1, (4, 4)) + torch.eye(4, dtype=h.dtype)),
}


@pytest.mark.parametrize("mode", CASTING)
@pytest.mark.parametrize("function", ONLY_WIDER.values(), ids=ONLY_WIDER.keys())
def test_what_torch_computes_in_no_16_bits_is_one_sentence(step, batch, mode, function):
    said = rf"{mode.name}: dots asks for what torch does not compute in torch.bfloat16; expected .*test_mixed_formats.py, line "
    with pytest.raises(Inapplicable, match=said):
        step(lambda: Computes(function), mode)(batch)
    assert step(lambda: Computes(function), FP32)(batch).isfinite()


@pytest.mark.parametrize(
    ("message", "differ"),
    [
        ("masked_scatter: expected self and source to have same dtypes but gotFloat and BFloat16", True),
        ("Input type (CPUBFloat16Type) and weight type (torch.FloatTensor) should be the same", True),
        ("got: input float, batch1: c10::BFloat16", True),
        ("scatter(): Expected self.dtype to be equal to src.dtype", True),
        ("expected a floating point tensor, found BFloat16", False),
        ("value cannot be converted to type at::BFloat16 without overflow", False),
    ],
)
def test_that_formats_differ_is_read_from_what_torch_says(message, differ):
    assert formats_differ(RuntimeError(message)) is differ


class HeadInLoss(nn.Module):
    """Its last layer is called by the loss, in FP32."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("mode", CASTING)
def test_a_head_that_the_loss_calls_in_fp32_gives_a_loss_in_fp32(dots, step, batch, mode, monkeypatch):
    def loss(model, batch):
        h = model(batch["x"])
        with torch.autocast("cpu", enabled=False):
            return nn.functional.cross_entropy(model.head(h.float()), batch["label"])

    monkeypatch.setattr(dots, "loss", loss)
    found = step(HeadInLoss, mode)
    assert found(batch).dtype == torch.float32
    assert [kept.name for kept in found.precision.kept] == ["head"]


class HalfCast(BF16MasterWeights):
    """Forgets the last layer."""

    name = "half-cast"

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        model.last.float()


def test_a_mode_that_casts_half_of_a_model_is_a_failure(step, batch):
    said = r"half-cast keeps nothing in FP32, and 16 bits meet FP32 in the model, which runs as model.to\(torch.bfloat16\)"
    with pytest.raises(PrecisionError, match=said):
        step(Plain, HalfCast)(batch)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.last(self.first(x).float().bfloat16())


class Table(nn.Module):
    """Uses the weights of a module that it never calls, before it calls another."""

    def __init__(self):
        super().__init__()
        self.first, self.table, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.last(nn.functional.linear(self.first(x), self.table.weight))


def test_what_failed_before_it_was_called_is_no_mistake(step, batch):
    with pytest.raises(PrecisionError, match="'table' cannot be kept in FP32: it is never called"):
        step(Table, BF16MasterWeights, keep_fp32=["last", "table"])(batch)


def modules_in_fp32(dots, model, cpu):
    assert fp32_modules(dots, BF16MasterWeights(), model, cpu) == ()


def modules_called(dots, model, cpu):
    assert called_modules(dots, cpu) == {"", "0", "1", "2"}


def drawn():
    return torch.rand(3).tolist(), np.random.rand(), random.random()


def test_a_model_that_is_asked_warns_of_nothing(dots, cpu, recwarn):
    model = nn.Linear(16, 2)
    model.register_forward_hook(lambda *_: warnings.warn("none of the inputs have requires_grad", stacklevel=1))
    fp32_modules(dots, BF16MasterWeights(), model, cpu)
    assert not recwarn


@pytest.mark.parametrize("ask", [modules_in_fp32, modules_called])
def test_a_model_that_is_asked_stays_as_it_was_and_so_do_the_generators(dots, cpu, monkeypatch, ask):
    model, loss = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 2)), dots.loss
    monkeypatch.setattr(dots, "build_model", lambda: drawn() and model)
    monkeypatch.setattr(dots, "loss", lambda model, batch: drawn() and loss(model, batch))
    seed_everything(7)
    expected = drawn()
    seed_everything(7)
    ask(dots, model, cpu)
    assert drawn() == expected
    assert int(model[0].num_batches_tracked) == 0
    assert model[0].running_mean.abs().sum() == 0


class Island(Variant):
    """Computes the last layer in FP32."""

    name = "island"
    base = "bf16-manual"

    def apply(self, model):
        def forward(x):
            h = model.first(x)
            with torch.autocast("cpu", enabled=False):
                return model.last(h.float())

        model.forward = forward


@pytest.mark.parametrize("order", [[Island, BF16MasterWeights], [BF16MasterWeights, Island]])
def test_what_a_variant_computes_in_fp32_its_base_does_not(step, order):
    found = {mode: [kept.name for kept in step(Plain, mode).precision.kept] for mode in order}
    assert found == {Island: ["last"], BF16MasterWeights: []}


@pytest.mark.parametrize("order", [[(), ("time",)], [("time",), ()]])
def test_what_meets_where_a_module_is_kept_does_not_meet_elsewhere(dots, cpu, step, batch, order):
    found = {keep: step(Timed, BF16MasterWeights, keep_fp32=keep) for keep in order}
    assert all(made(batch).isfinite() for made in found.values())
    assert [mixes_formats(dots, found[keep].precision, cpu) for keep in ((), ("time",))] == [True, False]


def test_autocast_that_is_off_is_on_purpose_only_where_it_was_on(step, batch):
    routed = step(Routed, BF16Autocast)
    with FlopCount(routed.fp32_on_purpose) as flops:
        routed.launch(batch)
    router, all_three = 16 * 16, 16 * 16 + 16 * 16 + 16 * 2
    assert flops.fp32_on_purpose == pytest.approx(router / all_three)
    kept = step(Routed, BF16Autocast, keep_fp32=["first"])
    with FlopCount(kept.fp32_on_purpose) as flops:
        kept.launch(batch)
    assert flops.fp32_on_purpose == pytest.approx(2 * router / all_three)


class Upcast(nn.Module):
    """Its author multiplies in FP32, by casts."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        h = self.first(x)
        return self.last(nn.functional.linear(h.float(), self.first.weight.float()).to(h.dtype))


@pytest.mark.parametrize("mode", CASTING)
def test_a_product_that_its_author_casts_to_fp32_is_on_purpose(step, batch, mode):
    upcast = step(Upcast, mode)
    with FlopCount(upcast.fp32_on_purpose) as flops:
        upcast.launch(batch)
    assert flops.fp32_on_purpose == pytest.approx(16 * 16 / (16 * 16 + 16 * 16 + 16 * 2))


class Uncast(BF16MasterWeights):
    name = "uncast"

    def prepare(self, model, recipe):
        super().prepare(model, recipe)
        model.float()


def test_weights_that_a_mode_forgets_to_cast_are_on_nobody_s_purpose(step, batch):
    uncast = step(Plain32, Uncast)
    with FlopCount(uncast.fp32_on_purpose) as flops:
        uncast.launch(batch)
    assert (flops.low_precision_share, flops.fp32_on_purpose) == (0, 0)


class Plain32(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.last(self.first(x.to(self.first.weight.dtype)))


def test_a_model_all_in_fp32_on_purpose_leaves_nothing_to_cast(step):
    def build():
        model = nn.Sequential(nn.Linear(16, 2))
        forward = model.forward
        model.forward = lambda x: torch.autocast("cpu", enabled=False)(forward)(x.float())
        return model

    with pytest.raises(Inapplicable, match="bf16-manual finds nothing to cast in dots: all of it is in FP32 on purpose"):
        step(build, BF16MasterWeights)


class Antialiased(nn.Module):
    """torch on a CPU resizes so in FP32 alone."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(4, 2)

    def forward(self, x):
        images = self.first(x).view(-1, 1, 4, 4)
        return self.last(nn.functional.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True).flatten(1))


@pytest.mark.parametrize("mode", [BF16Autocast, *CASTING])
def test_a_kernel_that_a_cpu_lacks_is_one_sentence(step, batch, mode):
    said = rf"^torch on a CPU lacks a kernel that dots needs in {mode.name}: .*not implemented.* \(test_mixed_formats.py, line "
    with pytest.raises(Inapplicable, match=said):
        step(Antialiased, mode)(batch)
    assert step(Antialiased, FP32)(batch).isfinite()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("mode", CASTING)
def test_a_question_of_formats_leaves_no_data_set_on_the_gpu(dots, mode):
    """The memory of a step would be said to be more by all of it."""
    device = torch.device("cuda")
    TrainStep(dots, mode(), device)
    assert {where for _, where in dots._splits} == {"cpu"}
