"""torch's cache of what AOTAutograd has traced."""

import functools

import torch
from torch._functorch import config  # private API

KEYED_BY_FORMAT = "2.13"
"""The first torch whose cache tells BF16 under autocast from FP16 (pytorch/pytorch#181564)."""


@functools.cache
def keep_formats_apart() -> None:
    """From now on nothing is compiled to the code of another format. An older torch asks its cache whether autocast is on, and
    not in which format: a model in BF16 may run the code of the same in FP16. What inductor made is still found in its own
    cache."""
    if torch.__version__ < KEYED_BY_FORMAT:
        config.enable_autograd_cache = False
