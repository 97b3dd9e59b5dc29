"""What a GPU reaches in large products, by their format, and in copies: what the time of a test is scaled by."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

import torch

from mpcore.device.machine import fp64_rate
from mpcore.precision import Precision, precisions
from mpcore.records import Hardware, Run, Speed

MODES = ("fp32", "tf32", "fp16-true", "bf16-true")
"""One of each format, that a GPU may have."""
FP64 = "fp64"
"""In which errors are computed. No run has measured it: it follows from FP32 and the class of the card."""

COPIES = "copies"
"""Within its memory, in bytes per second: what is no product is bound by these."""


def format_of(mode: str) -> str:
    return mode.partition("-")[0]


def ceilings_here(hardware: Hardware, device: torch.device) -> dict[str, float]:
    """FLOP/s by format, and bytes per second of copies, as measured now. None on a CPU, and none for which the GPU has no
    room."""
    modes = {name: precisions[name]() for name in MODES if precisions[name].unsupported(device) is None}
    found = {format_of(name): ceiling for name, mode in modes.items() if (ceiling := _measured(mode, device))}
    copied = _copied(device)
    found |= {COPIES: copied} if copied else {}
    return _with_fp64(found, hardware)


def ceilings_of(runs: Sequence[Run]) -> dict[str, float]:
    """The same, as runs of one GPU have measured it."""
    found: dict[str, list[float]] = {format_of(name): [] for name in MODES}
    for speed in _speeds(runs):
        if speed.ceiling_flops is not None and format_of(speed.case.precision) in found:
            found[format_of(speed.case.precision)].append(speed.ceiling_flops)
    found[COPIES] = [speed.ceiling_bytes for speed in _speeds(runs) if speed.ceiling_bytes is not None]
    medians = {name: statistics.median(values) for name, values in found.items() if values}
    return _with_fp64(medians, runs[0].machine.hardware)


def speeds(here: Mapping[str, float], there: Mapping[str, float]) -> dict[str, float]:
    """How many times as fast this GPU is as that one, in each format that both were measured in."""
    return {name: here[name] / there[name] for name in here if name in there}


def _measured(mode: Precision, device: torch.device) -> float | None:
    from mpcore.measure.ceiling import matmul_flops  # loads all that measures, which takes seconds

    try:
        return matmul_flops(mode, device)
    except RuntimeError:  # which is said to spoil figures
        return None


def _copied(device: torch.device) -> float | None:
    from mpcore.measure.ceiling import copied_bytes

    try:
        return copied_bytes(device)
    except RuntimeError:
        return None


def _speeds(runs: Sequence[Run]) -> Iterator[Speed]:
    return (result.record for run in runs for result in run.results if isinstance(result.record, Speed))


def _with_fp64(found: dict[str, float], hardware: Hardware) -> dict[str, float]:
    if "fp32" not in found or hardware.capability is None:
        return found
    return found | {FP64: found["fp32"] * fp64_rate(hardware.capability)}
