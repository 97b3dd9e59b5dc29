"""What a CUDA graph is made of, read from the graph itself: no profiler is asked, which may miss a kernel now and then."""

import hashlib
import json
from collections import Counter
from typing import Any, NamedTuple

import torch

from mpcore.kernels.names import short


class GraphContents(NamedTuple):
    """kernels: how often each is launched, by its short name. signature: a hash of all nodes, in the order in which they were
    captured, and of the edges between them. It holds kernels' names, grids and blocks, and the sizes of copies."""

    kernels: dict[str, int]
    signature: str


def contents_of(graph: torch.cuda.CUDAGraph) -> GraphContents | None:
    """Of a graph that was captured with `keep_graph`; None where cuda.bindings is not installed, which reads it."""
    try:
        from cuda.bindings import driver
    except ImportError:
        return None
    handle = driver.CUgraph(graph.raw_cuda_graph())
    count = _checked(driver.cuGraphGetNodes(handle))[-1]
    nodes = _checked(driver.cuGraphGetNodes(handle, count))[0]
    number = {int(node): i for i, node in enumerate(nodes)}
    edge_count = _checked(driver.cuGraphGetEdges(handle))[-1]
    sources, targets, *_ = _checked(driver.cuGraphGetEdges(handle, edge_count)) if edge_count else ([], [])
    edges = sorted((number[int(a)], number[int(b)]) for a, b in zip(sources, targets, strict=True))
    described = [_described(driver, node) for node in nodes]
    signature = hashlib.sha256(json.dumps([described, edges]).encode()).hexdigest()[:16]
    return GraphContents(dict(sorted(Counter(short(str(node[0])) for node in described).items())), signature)


def _described(driver: Any, node: Any) -> list[Any]:
    """Its name first."""
    (kind,) = _checked(driver.cuGraphNodeGetType(node))
    types = driver.CUgraphNodeType
    if kind == types.CU_GRAPH_NODE_TYPE_KERNEL:
        (p,) = _checked(driver.cuGraphKernelNodeGetParams(node))
        (name,) = _checked(driver.cuFuncGetName(p.func) if int(p.func) else driver.cuKernelGetName(p.kern))
        grid, block = (p.gridDimX, p.gridDimY, p.gridDimZ), (p.blockDimX, p.blockDimY, p.blockDimZ)
        return [torch._C._demangle(name.decode()), grid, block, p.sharedMemBytes]  # private API
    if kind == types.CU_GRAPH_NODE_TYPE_MEMCPY:
        (p,) = _checked(driver.cuGraphMemcpyNodeGetParams(node))
        return ["Memcpy", p.WidthInBytes, p.Height, p.Depth]
    if kind == types.CU_GRAPH_NODE_TYPE_MEMSET:
        (p,) = _checked(driver.cuGraphMemsetNodeGetParams(node))
        return ["Memset", p.elementSize, p.width, p.height, p.value]
    return [kind.name]


def _checked(result: Any) -> tuple[Any, ...]:
    """What a call returned beside its error. Raises RuntimeError."""
    error, *values = result
    if int(error):
        raise RuntimeError(f"CUDA does not tell what a graph is made of: {error}")
    return tuple(values)
