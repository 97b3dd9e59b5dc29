"""How long a training may take until it says again that it goes on, by the time that its steps have taken."""

import time
from collections.abc import Callable

from mpcore.records import Alive
from mpcore.training.loop import WINDOW, Progress


class Pace:
    """Makes the reporter of one training from its title. say: is told at its begin, and wherever the host looks at it."""

    def __init__(self, say: Callable[[Alive], None]) -> None:
        self._say = say

    def __call__(self, title: str) -> Progress:
        last, before = time.monotonic(), 0
        self._say(Alive(seconds=0.0))

        def report(done: int, steps: int, _: float) -> None:
            nonlocal last, before
            now = time.monotonic()
            step_seconds = (now - last) / (done - before)
            last, before = now, done
            self._say(Alive(seconds=step_seconds * min(WINDOW, steps - done)))

        return report
