"""How a step is run, one file an execution; importing this package registers them all."""

from mpcore.execution.compile import Compile
from mpcore.execution.eager import Eager, executions
from mpcore.execution.graph import CaptureError, Graph

__all__ = ["CaptureError", "Compile", "Eager", "Graph", "executions"]
