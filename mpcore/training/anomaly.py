"""The line of a forward pass whose gradient cannot be computed: a backward pass fails far from it."""

import contextlib
import re
import traceback
import warnings
from collections.abc import Callable

import torch

from mpcore.errors import source_line

FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')


def forward_line(step: Callable[[], object]) -> str:
    """`step` computes a loss and its gradients, which fails. In parentheses, "" where it is not known."""
    with warnings.catch_warnings(record=True) as told, torch.autograd.detect_anomaly(check_nan=False):
        warnings.simplefilter("always")
        with contextlib.suppress(Exception):  # which is known
            step()
    found = FRAME.findall("\n".join(str(warning.message) for warning in told if "forward call" in str(warning.message)))
    return source_line([traceback.FrameSummary(file, int(number), name) for file, number, name in found])
