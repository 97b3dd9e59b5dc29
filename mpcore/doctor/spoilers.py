"""All that would spoil figures on a machine."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch

from mpcore.doctor.gpu import gpu_spoilers
from mpcore.doctor.host import host_spoilers
from mpcore.report.text import counted


def spoilers(
    device: torch.device,
    folder: Path,
    environment: Mapping[str, str],
    asked: Collection[str],
    *,
    load: bool = False,
) -> Iterator[str]:
    """A sentence for each. folder: where the session is started. asked: the executions that are wanted. load: whether a GPU may
    be given something to do, to see its clock."""
    if device.type == "cuda":
        yield from gpu_spoilers(device, load=load)
    yield from host_spoilers(device, folder, environment, asked)


def short(found: list[str]) -> list[str]:
    """For the start of a session: how many things would spoil figures, and the first of them."""
    if not found:
        return []
    more = f", and {counted(len(found) - 1, 'thing')} more (python -m mpcore doctor)" if len(found) > 1 else ""
    return [f"would spoil figures: {found[0]}{more}"]
