"""Durations measured elsewhere, as pytest-benchmark takes them."""

from collections.abc import Iterator, Sequence
from typing import Any


class Clock:
    """A timer for pytest-benchmark that replays durations measured elsewhere: its own loop knows of no device."""

    __name__ = "replayed"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def __call__(self) -> float:
        return next(self._readings)

    def replay(self, benchmark: Any, seconds: Sequence[float], iterations: int = 1) -> None:
        """`seconds` of rounds of `iterations` each."""
        self._readings = iter([reading for duration in seconds for reading in (0.0, duration)])
        benchmark.pedantic(lambda: None, rounds=len(seconds), iterations=iterations)
