"""What it takes to measure: seconds and memory, which tell the next one what to expect."""

import time

import torch

from mpcore.measure.memory import free_memory
from mpcore.records import Cost


class Counter:
    """Counts from when it is made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            free_memory()  # or what was measured before would count
            torch.cuda.reset_peak_memory_stats(device)
        self._start = time.perf_counter()

    def cost(self) -> Cost:
        """Up to now. Of the memory it misses the first steps that a case learns in, which a step's own measurement hides. They
        need no more than those that follow."""
        seconds = time.perf_counter() - self._start
        peak = torch.cuda.max_memory_reserved(self._device) if self._device.type == "cuda" else None
        return Cost(seconds=seconds, peak_bytes=peak)
