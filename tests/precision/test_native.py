"""`fp32` and `tf32` differ in the process-wide switches, which they put back."""

import subprocess
import sys

import pytest
import torch

from mpcore.precision.native import FP32, TF32


def switches():
    """Whether TF32 is on for products and for convolutions."""
    return torch.backends.cuda.matmul.fp32_precision == "tf32", torch.backends.cudnn.conv.fp32_precision == "tf32"


@pytest.mark.parametrize(("mode", "on"), [(FP32, False), (TF32, True)])
def test_tf32_is_where_it_is_meant_to_be(mode, on):
    before = switches()
    with mode().settings():
        assert switches() == (on, on)
    assert switches() == before


def test_switches_set_by_the_newer_attributes_are_put_back():
    code = """
import torch
from mpcore.precision.native import FP32
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "ieee"
with FP32().settings():
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"
assert torch.backends.cuda.matmul.fp32_precision == "tf32"
assert torch.backends.cudnn.conv.fp32_precision == "ieee"
"""  # in a process of its own: no setter leads back from here
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fp32_is_that_though_a_program_has_tf32_on_for_all():
    code = """
import torch
from mpcore.precision.native import FP32
torch.backends.fp32_precision = "tf32"
with FP32().settings():
    cudnn = torch.backends.cudnn
    assert {cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, torch.backends.cuda.matmul.fp32_precision} == {"ieee"}
assert torch.backends.cudnn.conv.fp32_precision == "tf32"
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_fp32_products_have_24_bits_and_tf32_products_11():
    torch.manual_seed(0)
    x, y = torch.randn(2, 512, 512, device="cuda")
    exact = x.double() @ y.double()
    images, kernels = torch.randn(8, 64, 16, 16, device="cuda"), torch.randn(64, 64, 3, 3, device="cuda")
    convolved = torch.nn.functional.conv2d(images.double(), kernels.double())

    def errors(mode):
        with mode().settings():
            product, convolution = x @ y, torch.nn.functional.conv2d(images, kernels)
        return ((product - exact).norm() / exact.norm()).item(), ((convolution - convolved).norm() / convolved.norm()).item()

    assert max(errors(FP32)) < 2e-6
    assert min(errors(TF32)) > 1e-5
