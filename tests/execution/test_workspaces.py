"""The memory that cuBLAS computes in; that a graph survives what torch does with it is seen in test_graph.py, on a GPU."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from mpcore.execution import workspaces


@pytest.fixture
def called(monkeypatch):
    """What is called, in its order; a product that is named in `fails` finds no memory."""
    found = SimpleNamespace(names=[], fails=set())

    def note(name):
        found.names.append(name)
        if name in found.fails:
            raise torch.cuda.OutOfMemoryError("no memory")

    for call, name in {
        "_cuda_clearCublasWorkspaces": "forgotten",
        "_cuda_beginAllocateCurrentStreamToPool": "pool",
        "_cuda_endAllocateToPool": "no pool",
    }.items():
        monkeypatch.setattr(torch._C, call, lambda *_, name=name: note(name), raising=False)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(wait_stream=lambda stream: None))
    monkeypatch.setattr(workspaces, "workspace_pool", lambda device: (0, 1))
    monkeypatch.setattr(workspaces, "_take", lambda device: note(f"product {found.names.count('pool')}"))
    return found


STREAM = SimpleNamespace(device=torch.device("cuda:0"), device_index=0, wait_stream=lambda stream: None)


def test_it_is_taken_anew_for_both_streams_and_for_the_graphs_from_their_pool(called):
    workspaces.renew_workspaces(STREAM)
    assert called.names == ["forgotten", "product 0", "pool", "product 1", "no pool"]


def test_nothing_else_comes_from_that_pool_where_memory_ends(called):
    called.fails = {"product 1"}
    with pytest.raises(torch.cuda.OutOfMemoryError):
        workspaces.renew_workspaces(STREAM)
    assert called.names[-1] == "no pool"
