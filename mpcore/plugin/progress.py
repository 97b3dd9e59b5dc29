"""The line that says how far a training is."""

import time
from collections.abc import Callable
from typing import Any

import pytest

SECONDS_ON_TERMINAL, SECONDS_ELSEWHERE = 1.0, 10.0
"""Between two lines: on a terminal they are rewritten in place."""


class ProgressLines:
    """Makes the reporter of one training from its title. Short trainings follow each other in silence: the time since the last
    line counts, whichever training wrote it."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager  # asked at the first line: when pytest is configured not all plugins are there
        self._last = time.monotonic()

    def __call__(self, title: str) -> Callable[[int, int, float], None]:
        start = time.monotonic()

        def report(done: int, steps: int, loss: float) -> None:
            now = time.monotonic()
            reporter: Any = self._plugins.getplugin("terminalreporter")
            if now - self._last < (SECONDS_ON_TERMINAL if reporter.isatty else SECONDS_ELSEWHERE):
                return
            self._last = now
            left = (now - start) / done * (steps - done)
            self._write(reporter, f"  {title}: step {done} of {steps}, loss {loss:.3f}, {left:.0f} s left")

        return report

    def _write(self, reporter: Any, line: str) -> None:
        capture: Any = self._plugins.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            if reporter.isatty:
                reporter.rewrite(line, erase=True)
            else:
                reporter.ensure_newline()
                reporter.write_line(line)
