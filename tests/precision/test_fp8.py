"""`fp8`, emulated: on a CPU the products are those of numbers that were rounded to FP8."""

import pytest
import torch
from torch import nn

from mpcore.device.flops import FlopCount
from mpcore.precision import Inapplicable
from mpcore.precision.fp8 import FP8
from mpcore.workloads import cross_entropy

CPU = torch.device("cpu")


def products(layer, x, gradient):
    """Output, gradient of the input, gradient of the weight."""
    x = x.clone().requires_grad_()
    layer.weight.grad = None
    y = layer(x)
    y.backward(gradient)
    return y.detach(), x.grad, layer.weight.grad.clone()


def decibels(exact, rounded):
    return 20 * torch.log10(exact.norm() / (exact - rounded).norm()).item()


def test_products_are_as_precise_as_fp8_makes_them(recipe):
    """Two operands with a relative error of 2 or 3 bits of mantissa each: 28.5 dB forward (e4m3 with e4m3), some 24 backward
    (e5m2 with e4m3). In BF16 it would be 45."""
    torch.manual_seed(0)
    layer = nn.Linear(256, 256, bias=False)
    nn.init.normal_(layer.weight)
    x, gradient = torch.randn(512, 256), torch.randn(512, 256)
    exact = products(layer, x, gradient)
    model = nn.Sequential(layer)
    FP8(emulate=True).prepare(model, recipe)
    seen = [decibels(e, r) for e, r in zip(exact, products(model[0], x, gradient), strict=True)]
    assert seen == [pytest.approx(28.5, abs=1.0), pytest.approx(24.0, abs=1.0), pytest.approx(24.0, abs=1.0)]


def test_layers_whose_sides_fit_are_converted_and_counted(model, batch, recipe):
    precision = FP8(emulate=True)
    precision.prepare(model, recipe)
    assert type(model[0]).__name__ == "Float8Linear"
    assert type(model[3]) is nn.Linear
    assert precision.remark == "1 of 2 linear layers are in FP8"
    with FlopCount() as flops, precision.forward():
        model(batch[0])
    assert flops.by_dtype[torch.float8_e4m3fn] == 2 * 8 * 16 * 16


def test_it_trains_fp32_weights(model, batch, recipe):
    precision = FP8(emulate=True)
    precision.prepare(model, recipe)
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
    FP8(emulate=True, keep_fp32=["1"]).prepare(model, recipe)
    assert [type(m).__name__ for m in model] == ["Float8Linear", "Linear"]


def test_nothing_to_convert_is_an_error(recipe):
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(Inapplicable, match=r"fp8 has nothing to do in Sequential: of its 1 linear layers none has a weight"):
        FP8(emulate=True).prepare(model, recipe)


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert FP8.unsupported(CPU) == "fp8 needs torchao, which is not installed: pip install 'mpcore[modes]'"


def test_a_cpu_and_an_older_gpu_are_named(monkeypatch):
    assert FP8.unsupported(CPU) == "fp8 needs an NVIDIA GPU of compute capability 8.9 or later; this is a cpu"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "A100")
    assert FP8.unsupported(torch.device("cuda")) == "fp8 needs compute capability 8.9 or later; this is A100 with 8.0"
