"""The memory that cuBLAS computes in, whose address a graph of products holds.

torch keeps some for each stream and thread. It gives all of it back while it records graphs of its own (`clear_cublas_manager`
in torch/_inductor/cudagraph_trees.py). From 2.12 on it also gives back the memory of a stream with each graph of it that dies
(pytorch/pytorch#193402). A graph of ours would then write to where others are, or to nothing. So what graphs compute in comes
from a pool that nothing else is taken from, and that stays.
"""

import functools

import torch
from torch.nn.functional import linear


def renew_workspaces(stream: torch.cuda.Stream) -> None:
    """What is captured on `stream` next computes in memory that stays where it is. To be called right before the capture: what
    it needs besides, it takes from the graph's own pool then."""
    device = stream.device_index
    torch._C._cuda_clearCublasWorkspaces()  # private API
    _take(stream.device)  # as before, or the memory of the next eager step would be said to be more
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        torch._C._cuda_beginAllocateCurrentStreamToPool(device, workspace_pool(device))  # private API
        try:
            _take(stream.device)
        finally:
            torch._C._cuda_endAllocateToPool(device, workspace_pool(device))  # private API
    torch.cuda.current_stream(device).wait_stream(stream)


@functools.cache
def workspace_pool(device: int) -> tuple[int, int]:
    """The pool of the device of this number, for as long as the process lives."""
    first, second = torch.cuda.graph_pool_handle()
    return first, second


@torch.enable_grad()
def _take(device: torch.device) -> None:
    """Has cuBLAS and cuBLASLt take memory for the current stream, in this thread and in the thread of the backward pass."""
    square = torch.ones(16, 16, device=device, requires_grad=True)
    (linear(square, square, torch.ones(16, device=device)) @ square).sum().backward()
