"""What ranks talk by, and what says how. With other variables, another NCCL or other links a step takes another time, and its
sums may have other bits."""

import os
from contextlib import suppress

import torch

from mpcore.device.nvml import handle
from mpcore.device.pynvml import pynvml

VARIABLES = ("NCCL_", "TORCH_NCCL_", "TORCH_SYMM_MEM_", "NVSHMEM_", "GLOO_", "CUDA_DEVICE_MAX_CONNECTIONS")
"""What the names begin with of those that are told."""


def network(device: torch.device) -> dict[str, str]:
    """What this rank talks by, and the variables of its environment that say how."""
    told = {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
    if device.type != "cuda":
        return {"backend": "gloo"} | told
    version = ".".join(map(str, torch.cuda.nccl.version()))
    return {"backend": "nccl", "nccl": version, "links": _links(device)} | told


def _links(device: torch.device) -> str:
    """Those of this GPU to others: "18 NVLinks", or what else there is."""
    count = 0
    try:
        gpu = handle(str(torch.cuda.get_device_properties(device).uuid))
        state, most, enabled = pynvml.nvmlDeviceGetNvLinkState, pynvml.NVML_NVLINK_MAX_LINKS, pynvml.NVML_FEATURE_ENABLED
    except pynvml.NVMLError:
        return "not known"
    with suppress(pynvml.NVMLError):
        for link in range(most):  # the first that there is not ends it
            count += state(gpu, link) == enabled
    return f"{count} NVLinks" if count else "no NVLink"
