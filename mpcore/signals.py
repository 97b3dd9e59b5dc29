"""Signals that end the command, so that nothing is left behind: put off, or turned into an exit that cleans up."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

EXITING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Windows has no hang-up, and is refused in a sentence."""
ENDING = (signal.SIGINT, *EXITING)


@contextmanager
def put_off() -> Iterator[None]:
    """A signal that comes within it is raised after it: what must not be left half done is done first."""
    came: list[int] = []
    with _handled(ENDING, lambda number, _: came.append(number)):
        yield
    for number in came[:1]:
        signal.raise_signal(number)


@contextmanager
def raising_exit() -> Iterator[None]:
    """Signals that would end the process at once raise SystemExit within it, as Ctrl-C raises KeyboardInterrupt. One that is
    ignored, as nohup ignores a hang-up, stays so."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    heeded = [n for n in EXITING if signal.getsignal(n) is not signal.SIG_IGN]
    with _handled(heeded, leave):
        yield


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
