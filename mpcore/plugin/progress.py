"""The line that says how far a training is."""

import time
from typing import Any

import pytest

SECONDS = 10.0
"""Between two lines where they are not rewritten in place."""


class ProgressLine:
    """The progress of one training: rewritten in place on a terminal, a line now and then elsewhere."""

    _last = time.monotonic()
    """When any of them wrote last: short trainings follow each other in silence."""

    def __init__(self, config: pytest.Config, title: str) -> None:
        self.title = title
        self.start = time.monotonic()
        self._reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")

    def __call__(self, done: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        if now - ProgressLine._last < (1.0 if self._reporter.isatty else SECONDS):
            return
        ProgressLine._last = now
        left = (now - self.start) / done * (steps - done)
        line = f"  {self.title}: step {done} of {steps}, loss {loss:.3f}, {left:.0f} s left"
        with self._capture.global_and_fixture_disabled():
            if self._reporter.isatty:
                self._reporter.rewrite(line, erase=True)
            else:
                self._reporter.ensure_newline()
                self._reporter.write_line(line)
