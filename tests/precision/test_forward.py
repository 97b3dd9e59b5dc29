"""`fp16-forward`: FP16 in the forward pass of linear and convolution layers, FP32 in all else."""

import pytest
import torch
from torch import nn

from mpcore.device.flops import FlopCount
from mpcore.precision.forward import FP16Forward

LAYERS = {
    "linear": (nn.Linear(8, 4), (3, 8)),
    "linear of sequences": (nn.Linear(8, 4), (3, 5, 8)),
    "linear of one": (nn.Linear(8, 4), (8,)),
    "linear without bias": (nn.Linear(8, 4, bias=False), (3, 8)),
    "convolution": (nn.Conv2d(2, 4, 3), (3, 2, 8, 8)),
    "strided": (nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), (3, 2, 8, 8)),
    "grouped": (nn.Conv2d(4, 4, 3, groups=2, dilation=2), (3, 4, 8, 8)),
    "convolution of one": (nn.Conv2d(2, 4, 3), (2, 8, 8)),
    "same": (nn.Conv2d(2, 4, 3, padding="same"), (3, 2, 8, 8)),
    "same of one": (nn.Conv2d(2, 4, 3, padding="same"), (2, 8, 8)),
    "reflected": (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), (3, 2, 8, 8)),
    "reflected of one": (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), (2, 8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_forward_pass_is_fp16_and_the_backward_pass_exact(name, recipe):
    layer, shape = LAYERS[name]
    plain = nn.Sequential(layer)
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    expected = plain(x)
    weight = torch.randn_like(expected)
    exact = torch.autograd.grad((expected * weight).sum(), [x, *plain.parameters()])

    precision = FP16Forward()
    precision.prepare(plain, recipe)
    with FlopCount() as flops:
        out = layer(input=x)
    assert set(flops.by_dtype) == {torch.float16}
    assert out.dtype == torch.float32
    assert 0 < (out - expected).abs().max() < 0.01
    with FlopCount() as flops:
        gradients = torch.autograd.grad((out * weight).sum(), [x, *plain.parameters()])
    assert set(flops.by_dtype) == {torch.float32}
    for gradient, truth in zip(gradients, exact, strict=True):
        torch.testing.assert_close(gradient, truth)


def test_a_kept_layer_is_not_touched(model, batch, recipe):
    precision = FP16Forward(keep_fp32=["0"])
    precision.prepare(model, recipe)
    with FlopCount() as flops:
        model(batch[0])
    assert flops.by_dtype == {torch.float32: 2 * 8 * 16 * 16, torch.float16: 2 * 8 * 16 * 4}
