"""The memory of a training step."""

import gc
from collections.abc import Sequence
from typing import Any

import torch

from mpcore.device.machine import synchronise
from mpcore.execution import forget_dead
from mpcore.training.base import Step


def free_memory() -> None:
    """Gives back what dead models hold: hooks tie them into cycles that wait for the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_everything() -> None:
    """The same before a case, when no step is alive: with what was compiled of those that were."""
    free_memory()
    forget_dead()


def occupied_memory(device: torch.device) -> tuple[int, int]:
    """Bytes allocated and reserved now."""
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)


def peak_memory(step: Step, batches: Sequence[Any], occupied: tuple[int, int]) -> tuple[int | None, int | None]:
    """Bytes allocated and bytes reserved at the peak of a step, less those that were `occupied` before it was built. On a CPU,
    where nobody counts them, each is None."""
    device = step.device
    if device.type != "cuda":
        return None, None
    step.launch(batches[0])  # what is compiled is compiled now
    torch.cuda.reset_peak_memory_stats(device)
    for batch in batches:
        step.launch(batch)
    synchronise(device)
    allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return allocated - occupied[0], reserved - occupied[1]
