"""The formats round as the theory of mixed precision says, which all the modes rest on."""

import pytest
import torch

HALF, BFLOAT = torch.float16, torch.bfloat16


def rounded(value, dtype):
    return torch.tensor(value, dtype=torch.float64).to(dtype).double().item()


def test_one_and_a_ten_thousandth_is_one_in_fp16():
    assert rounded(1 + 1e-4, HALF) == 1
    assert rounded(1 + 1e-4, torch.float32) == pytest.approx(1.0001, abs=1e-7)


def test_one_and_three_thousandths_is_one_in_bf16():
    assert rounded(1 + 3e-3, BFLOAT) == 1


@pytest.mark.parametrize(
    ("value", "stored"),
    [(2.0**-24, 2.0**-24), (2.0**-25, 0.0), (1e-8, 0.0), (65504.0, 65504.0), (65520.0, float("inf"))],
)
def test_fp16_ends_where_it_ends(value, stored):
    assert rounded(value, HALF) == stored


def test_bf16_has_the_range_of_fp32():
    assert rounded(1e-38, BFLOAT) == pytest.approx(1e-38, rel=0.01)
    assert rounded(1e38, BFLOAT) == pytest.approx(1e38, rel=0.01)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float8_e4m3fn, 448.0), (torch.float8_e5m2, 57344.0)])
def test_fp8_ends_where_it_ends(dtype, largest):
    assert torch.finfo(dtype).max == largest


@pytest.mark.parametrize(("dtype", "end"), [(torch.float32, 1.01), (HALF, 1.0), (BFLOAT, 1.0)])
def test_a_hundred_small_updates_arrive_only_in_fp32(dtype, end):
    weight = torch.ones((), dtype=dtype)
    for _ in range(100):
        weight.add_(1e-4)
    assert weight.item() == pytest.approx(end, abs=1e-5)


def test_a_hundred_small_updates_arrive_in_an_fp16_copy_of_an_fp32_master():
    master = torch.ones(())
    for _ in range(100):
        master.add_(1e-4)
    assert master.half().item() == pytest.approx(1.00977, abs=1e-5)


def test_a_small_gradient_is_lost_unscaled_and_exact_scaled():
    gradient = 2.0**-27
    assert rounded(gradient, HALF) == 0
    assert rounded(gradient * 2.0**10, HALF) / 2.0**10 == gradient
