"""Cases measured in a fresh process: `python -m mpcore.runner` is it, `Runner` starts it and needs no torch itself."""

from mpcore.runner.process import RunnerError
from mpcore.runner.runner import Measured, Runner, Timeouts, confirm, narrowed

__all__ = ["Measured", "Runner", "RunnerError", "Timeouts", "confirm", "narrowed"]
