"""`graph`: the function is captured once as a CUDA graph and replayed.

One launch a step in place of hundreds: what is timed is the GPU and not the Python in front of it. A step that is captured
must not wait for the device, and must not depend on values that the host knows. It finds its input where it was when it was
captured, so that batches are copied there.
"""

import contextlib
import functools
import gc
import itertools
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mpcore.data import leaves, mapped, structure
from mpcore.device import agreement
from mpcore.device.allocator import large_blocks_split
from mpcore.device.graph_contents import GraphContents, contents_of
from mpcore.errors import cause, root_cause
from mpcore.execution.eager import Eager, Function, executions
from mpcore.execution.host import EAGER, HostDecisions
from mpcore.execution.workspaces import renew_workspaces

WARM_UP = 3
"""Calls with batches of one shape before it is captured: cuDNN has chosen its algorithms then, cuBLAS has its workspace."""
WARM_UP_OF_RANKS = 12
"""The same where a step is spread over ranks: DDP lays out its buckets anew at the second, and times the first ten."""
MOST_GRAPHS = 4
"""Of one function. Each keeps the memory of a step. A training and an evaluation have whole batches, and a last one each."""
PATIENCE_SECONDS = 60.0
"""In which other ranks come to capture the step as well, if they do."""
NEW_SHAPE = "new shape"
"""What ranks leave word about: the last that each has met."""
_captures = itertools.count()
"""All ranks capture together: these are their numbers on each."""


def warm_up_calls() -> int:
    """Before a step is captured."""
    return WARM_UP if agreement.ranks() == 1 else WARM_UP_OF_RANKS


class CaptureError(RuntimeError):
    """A step that cannot be captured as a CUDA graph: the operation that forbids it, and where it is."""


@executions.register
class Graph(Eager):
    """Captured as a CUDA graph, once for each shape of batch, and replayed. Shapes beyond `MOST_GRAPHS` stay eager.

    The first `warm_up_calls()` with a shape are eager ones, on a stream of their own as capturing demands. They are calls
    like all others: nothing is run for the sake of warming up, and no batch is lost. Raises CaptureError.
    """

    name = "graph"

    def __init__(self, function: Function, model: nn.Module, **options: Any) -> None:
        super().__init__(function, model, **options)
        self._stream = _side_stream(_index(self.device))
        self._calls: Counter[tuple[Hashable, ...]] = Counter()
        self._captured: dict[tuple[Hashable, ...], _Captured] = {}
        self._host = HostDecisions(model)

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type == "cuda":
            return None
        return f"{cls.name} needs an NVIDIA GPU, for its CUDA graphs; this is a {device.type}"

    @classmethod
    def captures(cls, device: torch.device) -> bool:
        return True

    @classmethod
    def launched(cls) -> type[Eager]:
        return Eager

    def __call__(self, batch: Any) -> Tensor:
        shape = self._shape(batch)
        if shape not in self._captured:
            if shape not in self._calls:
                agreement.leave_word(NEW_SHAPE, _shapes(batch))
            self._calls[shape] += 1
            if self._calls[shape] <= warm_up_calls() or self.layout() is None or self._has_enough():
                with self._host.met():
                    return self._launch(batch)
            self._captured[shape] = self._capture(batch)
        return self._captured[shape](batch)

    @classmethod
    @contextlib.contextmanager
    def stream(cls, device: torch.device) -> Iterator[None]:
        """The one that captures: a gradient is added up on the stream that its weight was first used on."""
        side, current = _side_stream(_index(device)), torch.cuda.current_stream(device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            yield
        current.wait_stream(side)

    def launch(self, batch: Any) -> Tensor:
        return self.function(batch) if agreement.ranks() == 1 else self._launch(batch)

    @property
    def captured(self) -> bool:
        return bool(self._captured)

    @property
    def pool_bytes(self) -> int | None:
        if not self.captured:
            return None
        pools = {tuple(captured.pool) for captured in self._captured.values()}
        return sum(s["total_size"] for s in torch.cuda.memory_snapshot() if tuple(s["segment_pool_id"]) in pools)

    @property
    def remark(self) -> str | None:
        return "; ".join(self._host.drawn) or None

    @property
    def contents(self) -> GraphContents | None:
        return next((captured.contents for captured in self._captured.values()), None)

    def _shape(self, batch: Any) -> tuple[Hashable, ...]:
        """Evaluation is another computation than training, whatever the batch."""
        return self.layout(), self.model.training, structure(batch)

    def _has_enough(self) -> bool:
        """Of the layout that there is now: graphs of another are no longer replayed."""
        return sum(layout == self.layout() for layout, *_ in self._captured) == MOST_GRAPHS

    def _capture(self, batch: Any) -> "_Captured":
        """On all ranks, or on none: one that replays a graph waits for the others in it for ever."""
        captured, failed = None, None
        try:
            captured = _Captured(self.function, batch, self._stream, self._host)
        except (CaptureError, torch.cuda.OutOfMemoryError) as error:
            failed = error
        others = _others_capture(batch, captured is not None)
        if captured is None or others is not None:
            raise failed or CaptureError(others)
        return captured

    def _launch(self, batch: Any) -> Tensor:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            output = self.function(batch)
        current.wait_stream(self._stream)
        output.record_stream(current)
        return output


def _others_capture(batch: Any, captured: bool) -> str | None:
    """Why the graph that this rank has `captured` is of no use, or None. Those that launch or replay their step wait for this
    one there, and never come here."""
    if agreement.ranks() == 1:
        return None
    this = f"capture {next(_captures)}"
    agreement.leave_word(this, "captured" if captured else "failed")
    found = agreement.words(this, PATIENCE_SECONDS)
    if len(found) < agreement.ranks():
        met = agreement.words(NEW_SHAPE)
        others = [
            f"rank {rank}, whose last new shape is {met.get(rank, 'not known')}"
            for rank in range(agreement.ranks())
            if rank not in found
        ]
        return (
            f"rank {agreement.rank()} captures its step for a batch of {_shapes(batch)}, and in {PATIENCE_SECONDS:g} s none is "
            f"captured by {' or '.join(others)}. A shape must become a graph on all ranks at once: {EAGER}"
        )
    return f"{agreement.ANOTHER_RANK} could not capture the step as a CUDA graph" if "failed" in found.values() else None


def _shapes(batch: Any) -> str:
    return ", ".join(str(list(leaf.shape)) for leaf in leaves(batch))


@functools.cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """The one that all graphs are captured on: cuBLAS keeps a workspace for every stream that it has ever seen."""
    return torch.cuda.Stream(device)


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _errors_of() -> Literal["global", "thread_local"]:
    """Whose calls break a capture: of all threads, or, where NCCL's watchdog has one, of the own thread."""
    return "global" if agreement.ranks() == 1 else "thread_local"


class _Captured:
    """One graph, with the places that it reads its input from and writes its output to."""

    def __init__(self, function: Function, batch: Any, stream: torch.cuda.Stream, host: HostDecisions) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self._graph = torch.cuda.CUDAGraph(keep_graph=True)  # whose contents can be read then
        self._input = mapped(batch, Tensor.clone)
        self._loaded: list[tuple[Tensor, int]] = []
        current = torch.cuda.current_stream(stream.device)
        renew_workspaces(stream)
        try:
            options: dict[str, Any] = {"pool": self.pool, "stream": stream, "capture_error_mode": _errors_of()}
            with _without_collector(), large_blocks_split(), torch.cuda.graph(self._graph, **options):
                with host.frozen() as frozen:
                    self._output = function(self._input)
                if frozen:
                    raise CaptureError(frozen[0])
            self._graph.instantiate()
        except Exception as error:
            torch.cuda.set_stream(current)  # as all that follows: a capture that fails leaves it behind
            _abandon(self._graph, self.pool, stream.device)
            if isinstance(error, torch.cuda.OutOfMemoryError | CaptureError):
                raise
            if isinstance(root_cause(error), KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise CaptureError(f"the step cannot be captured as a CUDA graph: {cause(error)}") from error

    @property
    def contents(self) -> GraphContents | None:
        return contents_of(self._graph)

    def __call__(self, batch: Any) -> Tensor:
        self._load(batch)
        self._graph.replay()
        return self._output

    def _load(self, batch: Any) -> None:
        """A batch that lies there already is not copied again, as when a step is repeated; a change in place is seen."""
        given = list(leaves(batch))
        same = len(self._loaded) == len(given) and all(
            leaf is loaded and leaf._version == version  # private API
            for leaf, (loaded, version) in zip(given, self._loaded, strict=True)
        )
        if not same:
            for place, leaf in zip(leaves(self._input), given, strict=True):
                place.copy_(leaf, non_blocking=True)
            self._loaded = [(leaf, leaf._version) for leaf in given]  # private API


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Within it Python destroys no graph that is in a circle of references: memory that is freed while another one is captured
    breaks the capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _abandon(graph: torch.cuda.CUDAGraph, pool: tuple[int, int], device: torch.device) -> None:
    """Puts the allocator and the random numbers of `device` back to work after a capture that failed. CUDAGraph does so
    itself where only Python failed and the capture came to its end."""
    with contextlib.suppress(RuntimeError):
        graph.pool()  # raises unless it did
        return
    torch._C._cuda_endAllocateToPool(device.index, pool)  # private API
    torch._C._cuda_releasePool(device.index, pool)  # private API
    generator = torch.cuda.default_generators[device.index]
    fresh = torch.Generator(device).manual_seed(generator.initial_seed())
    generator.graphsafe_set_state(fresh.graphsafe_get_state())
