"""Where the cases of a selection are measured: on which device, in which size, with whose data."""

import os
from typing import TYPE_CHECKING

from mpcore.records import Selection, Size
from mpcore.selection import SelectionError

if TYPE_CHECKING:
    import torch

    from mpcore.data import Source


def size_of(selection: Selection, device: "torch.device") -> Size:
    """The one that is named, or full on a GPU and tiny on a CPU."""
    return selection.size or ("full" if device.type == "cuda" else "tiny")


def source_of(selection: Selection) -> "Source":
    """Where data come from. Raises SelectionError."""
    from mpcore.data import DataError, Source

    try:
        return Source(selection.data or os.environ.get("MPCORE_DATA") or "embedded")
    except DataError as error:
        raise SelectionError(str(error)) from error


def device_of(selection: Selection) -> "torch.device":
    """Raises SelectionError for a device that this machine does not have, or that nothing is measured on."""
    import torch

    from mpcore.device.machine import default_device, refused

    name = selection.device
    if reason := refused(name):
        raise SelectionError(reason)
    try:
        device = torch.device(name) if name else default_device()
    except RuntimeError as error:
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>") from error
    if selection.size == "fit" and device.type == "cpu":
        raise SelectionError("--mp-size fit: expected a GPU, whose memory chooses the batch; on a CPU tiny or full")
    if device.type not in ("cpu", "cuda"):
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SelectionError(f"--mp-device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device
