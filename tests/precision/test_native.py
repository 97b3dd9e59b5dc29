"""`fp32` and `tf32`: what the matrix units do with FP32 numbers."""

import pytest
import torch

from mpcore.precision.native import FP32, TF32


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
