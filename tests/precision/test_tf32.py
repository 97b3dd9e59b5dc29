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


WRITTEN = (
    "torch.set_float32_matmul_precision('medium')",
    "cudnn.allow_tf32 = False",
    "matmul.fp32_precision = 'tf32'",
    "cudnn.conv.fp32_precision = 'ieee'",
    "cudnn.rnn.fp32_precision = 'ieee'",
    "matmul.fp32_precision, cudnn.conv.fp32_precision = 'tf32', 'ieee'",
    "torch.backends.fp32_precision = 'tf32'",
)


def test_what_a_program_could_read_before_it_reads_after_by_either_interface():
    code = f"""
import os
import torch
from mpcore.precision.tf32 import tf32_switches
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
def read(get):
    try:
        return get()
    except RuntimeError:
        return None
def switches():
    return [read(get) for get in (
        torch.get_float32_matmul_precision,
        lambda: matmul.allow_tf32,
        lambda: matmul.fp32_precision == "tf32",
        lambda: cudnn.allow_tf32,
        lambda: cudnn.conv.fp32_precision,
        lambda: cudnn.rnn.fp32_precision,
    )]
def differing():
    before = switches()
    for on in (False, True):
        with tf32_switches(on):
            if None in switches():
                return "within"
        if any(was not in (None, now) for was, now in zip(before, switches())):
            return before, switches()
for written in {WRITTEN!r}:
    if not (child := os.fork()):  # no setter leads back
        exec(written)
        if found := differing():
            print(written, found, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == ""


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
