"""How steps can be run."""

import torch

from mpcore.execution import Eager, Graph, ReduceOverhead, executions
from mpcore.records import Case


def test_the_executions_are_known_by_name():
    assert executions.names() == ["eager", "graph", "inductor", "compile", "reduce-overhead"]


def test_a_graph_needs_a_gpu(cpu):
    assert Eager.unsupported(cpu) is None
    assert Graph.unsupported(cpu) == "graph needs an NVIDIA GPU, for its CUDA graphs; this is a cpu"
    assert ReduceOverhead.unsupported(cpu) == "reduce-overhead needs an NVIDIA GPU, for torch's CUDA graphs; this is a cpu"


def test_a_case_knows_whether_its_execution_captures_the_step():
    for name in executions.names():
        case = Case(workload="bert-imdb", precision="fp32", execution=name, size="full")
        assert case.captured == executions[name].captures(torch.device("cuda"))
