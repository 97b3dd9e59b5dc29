"""`fp8` and `fp8-rowwise`, emulated: on a CPU the products are those of numbers that were rounded to FP8."""

import pytest
import torch
from torch import nn

from mpcore.device.flops import FlopCount
from mpcore.execution import executions
from mpcore.gate import checks
from mpcore.measure import Bench
from mpcore.precision import Inapplicable
from mpcore.precision.fp8 import FP8, FP8Rowwise
from mpcore.records import Case
from mpcore.workloads import cross_entropy

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def prepared(mode, model, recipe, **options):
    """Of what `model` is patched to."""
    precision = mode(emulate=True, **options)
    precision.prepare(precision.patched(model), recipe)
    return precision


def products(layer, x, gradient):
    """Output, gradient of the input, gradient of the weight."""
    x = x.clone().requires_grad_()
    layer.weight.grad = None
    y = layer(x)
    y.backward(gradient)
    return y.detach(), x.grad, layer.weight.grad.clone()


def decibels(exact, rounded):
    return 20 * torch.log10(exact.norm() / (exact - rounded).norm()).item()


@pytest.mark.parametrize(("mode", "backward"), [(FP8, 24.0), (FP8Rowwise, 28.0)])
def test_products_are_as_precise_as_fp8_makes_them(recipe, mode, backward):
    """Two operands with a relative error of 2 or 3 bits of mantissa each: 28.5 dB of e4m3 with e4m3, some 24 of e5m2, in which
    gradients are with one scale for a tensor, with e4m3. In BF16 it would be 45."""
    torch.manual_seed(0)
    layer = nn.Linear(256, 256, bias=False)
    nn.init.normal_(layer.weight)
    x, gradient = torch.randn(512, 256), torch.randn(512, 256)
    exact = products(layer, x, gradient)
    model = nn.Sequential(layer)
    prepared(mode, model, recipe)
    seen = [decibels(e, r) for e, r in zip(exact, products(model[0], x, gradient), strict=True)]
    assert seen == [pytest.approx(28.5, abs=1.0), *[pytest.approx(backward, abs=1.0)] * 2]


def test_layers_whose_sides_fit_are_converted_and_counted(model, batch, recipe):
    precision = prepared(FP8, model, recipe)
    assert type(model[0]).__name__ == "Float8Linear"
    assert type(model[3]) is nn.Linear
    assert precision.remark == "1 of 2 linear layers are in FP8"
    with FlopCount() as flops, precision.forward():
        model(batch[0])
    assert flops.by_dtype[torch.float8_e4m3fn] == 2 * 8 * 16 * 16


def test_it_trains_fp32_weights(model, batch, recipe):
    precision = prepared(FP8, model, recipe)
    losses = []
    for _ in range(20):
        with precision.forward():
            loss = cross_entropy(model(batch[0]), batch[1])
        precision.backward(loss)
        precision.update()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_kept_layer_is_not_converted(recipe):
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    prepared(FP8, model, recipe, keep_fp32=["1"])
    assert [type(m).__name__ for m in model] == ["Float8Linear", "Linear"]


def test_nothing_to_convert_is_an_error(recipe):
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(Inapplicable, match=r"fp8 has nothing to do in Sequential: of its 1 linear layers none has sides that"):
        FP8(emulate=True).patched(model)


@pytest.mark.parametrize(
    ("mode", "width", "gain"), [(FP8, 768, 1), (FP8, 1024, 0), (FP8Rowwise, 768, 0), (FP8Rowwise, 4096, 2)]
)
def test_layers_are_converted_that_torchao_expects_to_gain(mode, width, gain):
    """A block of attention and the first layer of an MLP, of BERT, ViT-L and Llama 3 8B."""
    with torch.device("meta"):
        inner = 14_336 if width == 4096 else 3072 if width == 768 else 1024
        model = nn.Sequential(nn.Linear(width, width), nn.Linear(width, inner), nn.Linear(width, 1024))
    precision = mode()
    if not gain:
        with pytest.raises(Inapplicable, match=rf"of its 3 linear layers none has the width to gain by it \({mode.scaling}\)"):
            precision.apply(model)
        return
    precision.apply(model)
    assert sum(type(m).__name__ == "Float8Linear" for m in model) == gain
    assert precision.remark == f"{gain} of 3 linear layers are in FP8"


@pytest.mark.parametrize("name", ["fp8", "fp8-rowwise"])
def test_the_wide_shape_is_held_to_fp8_s_own_round_off(monkeypatch, name):
    monkeypatch.setitem(FP8.__init__.__kwdefaults__, "emulate", True)
    found = checks(Bench(CPU).numerics(Case(workload="llama-block", precision=name, size="tiny")))
    assert {check.status for check in found} == {"passed"}
    gradient = next(check for check in found if check.metric == "gradient error")
    assert 0.03 < gradient.value < 0.1  # in bf16-amp 0.004


def test_without_a_compiler_it_is_not_measured_on_a_gpu():
    for name in executions.names():
        reason = FP8Rowwise.unsupported_by(executions[name], CUDA)
        assert (reason is None) == executions[name].compiles, name
        assert FP8Rowwise.unsupported_by(executions[name], CPU) is None
    assert FP8.unsupported_by(executions["graph"], CUDA) == (
        "fp8 is not measured as graph: its scaling is many small kernels. Without a compiler they take four times as long as "
        "the products save: expected --mp-execution compile"
    )


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert FP8.unsupported(CPU) == "fp8 needs torchao, which is not installed: pip install 'mpcore[modes]'"


def test_a_cpu_and_an_older_gpu_are_named(monkeypatch):
    assert FP8.unsupported(CPU) == "fp8 needs an NVIDIA GPU of compute capability 8.9 or later; this is a cpu"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (8, 9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "L4")
    assert FP8.unsupported(CUDA) is None
    assert FP8Rowwise.unsupported(CUDA) == "fp8-rowwise needs compute capability 9.0 or later; this is L4 with 8.9"
