"""`python -m mpcore.runner`"""

from pathlib import Path
from types import TracebackType
from mpcore.records import Case, Selection, Speed
class RunnerError(RuntimeError):
    """A process that cannot measure anything; the message says why."""
class Runner:
    """A fresh process"""
