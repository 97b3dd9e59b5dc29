"""The process-wide TF32 switches are put back."""

import subprocess
import sys

import pytest
import torch

from mpcore.precision.native import FP32, TF32
from mpcore.precision.tf32 import tf32_switches


def switches():
    """Whether TF32 is on for products and for convolutions."""
    return torch.backends.cuda.matmul.fp32_precision == "tf32", torch.backends.cudnn.conv.fp32_precision == "tf32"


@pytest.mark.parametrize("on", [False, True])
def test_switches_are_where_they_are_meant_to_be_and_put_back(on):
    before = switches()
    with tf32_switches(on):
        assert switches() == (on, on)
    assert switches() == before


@pytest.mark.parametrize("on", [False, True])
def test_switches_are_put_back_after_an_exception(on):
    before = switches()
    with pytest.raises(ZeroDivisionError), tf32_switches(on):
        raise ZeroDivisionError
    assert switches() == before


@pytest.mark.parametrize("mode", [FP32, TF32])
def test_a_mode_sets_them_as_it_says(mode):
    with mode().settings():
        assert switches() == (mode.tf32, mode.tf32)


def test_switches_set_by_the_newer_attributes_are_put_back():
    code = """
import torch
from mpcore.precision.tf32 import tf32_switches
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "ieee"
with tf32_switches(False):
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"
assert torch.backends.cuda.matmul.fp32_precision == "tf32"
assert torch.backends.cudnn.conv.fp32_precision == "ieee"
"""  # in a process of its own: no setter leads back from here
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fp32_is_that_though_a_program_has_tf32_on_for_all():
    code = """
import torch
from mpcore.precision.tf32 import tf32_switches
torch.backends.fp32_precision = "tf32"
with tf32_switches(False):
    cudnn = torch.backends.cudnn
    assert {cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, torch.backends.cuda.matmul.fp32_precision} == {"ieee"}
assert torch.backends.cudnn.conv.fp32_precision == "tf32"
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
