"""All that would spoil figures on a machine."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from mpcore.doctor.gpu import gpu_spoilers
from mpcore.doctor.host import host_spoilers


def spoilers(device: torch.device, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each. folder: where the session is started."""
    if device.type == "cuda":
        yield from gpu_spoilers(device)
    yield from host_spoilers(device, folder, environment)
