"""How steps can be run."""

from mpcore.execution.eager import Eager, executions
from mpcore.execution.graph import Graph


def test_the_executions_are_known_by_name():
    assert executions.names() == ["eager", "graph", "compile"]


def test_a_graph_needs_a_gpu(cpu):
    assert Eager.unsupported(cpu) is None
    assert Graph.unsupported(cpu) == "graph needs an NVIDIA GPU, for its CUDA graphs; this is a cpu"
