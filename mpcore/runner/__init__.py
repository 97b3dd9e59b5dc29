"""Cases measured in a fresh process: `python -m mpcore.runner` is it, `Runner` starts it and needs no torch itself."""

from mpcore.runner.process import RunnerError
from mpcore.runner.runner import Limits, Measured, Runner, confirm

__all__ = ["Limits", "Measured", "Runner", "RunnerError", "confirm"]
