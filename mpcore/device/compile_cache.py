"""torch's cache of what AOTAutograd has traced."""

import functools

import torch
from torch._functorch import config  # private API

KEYED_BY_FORMAT = "2.13"
"""The first torch whose cache tells BF16 under autocast from FP16 (pytorch/pytorch#181564)."""
DEVICES = ("cpu", "cuda")


@functools.cache
def keep_formats_apart() -> None:
    """From now on nothing is compiled to the code of another format. The key of an older torch's cache says that autocast is
    on, and not in which format: a model in BF16 may run the code of the same in FP16. AOTAutograd's switches are a part of that
    key, and get the formats beside them."""
    if torch.__version__ < KEYED_BY_FORMAT:
        switches = config.save_config
        vars(config)["save_config"] = lambda: switches() + repr(_formats()).encode()


def _formats() -> dict[str, torch.dtype]:
    """Of autocast, by the kind of device, where it is on."""
    return {device: torch.get_autocast_dtype(device) for device in DEVICES if torch.is_autocast_enabled(device)}
