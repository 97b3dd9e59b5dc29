"""How a step is run, one file an execution; importing this package registers them all."""

from mpcore.execution.compile import Compile
from mpcore.execution.eager import Eager, executions
from mpcore.execution.graph import CaptureError, Graph
from mpcore.execution.inductor import Inductor, forget_dead
from mpcore.execution.reduce_overhead import ReduceOverhead

__all__ = ["CaptureError", "Compile", "Eager", "Graph", "Inductor", "ReduceOverhead", "executions", "forget_dead"]
