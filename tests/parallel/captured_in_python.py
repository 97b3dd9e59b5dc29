"""Steps whose ranks differ in the shapes of their batches; and an execution that captures as a graph does, without a GPU."""

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mpcore import OwnStep, register
from mpcore.device import agreement
from mpcore.device.graph_contents import GraphContents
from mpcore.execution import Eager, Graph, executions, graph
from mpcore.precision import Precision

REFUSED = 3
"""Rows of a batch with which a step cannot be captured."""


@executions.register
class InPython(Graph):
    """What was captured is called, so that nothing of the host is frozen."""

    name = "in-python"
    pool_bytes = None
    stream = Eager.stream

    @classmethod
    def unsupported(cls, device):
        return None

    def _launch(self, batch):
        return self.function(batch)


@executions.register
class Stale(InPython):
    """The second rank goes on with the batch that it was captured with."""

    name = "stale"

    def _capture(self, batch):
        captured = super()._capture(batch)
        if agreement.rank() == 1:
            function, first = captured.function, {name: column.clone() for name, column in batch.items()}
            captured.function = lambda _: function(first)
        return captured


@executions.register
class DrawsApart(InPython):
    """What is replayed draws other numbers than Python, as on a GPU."""

    name = "draws-apart"

    def _capture(self, batch):
        captured = super()._capture(batch)
        function = captured.function
        captured.function = lambda batch: (torch.rand(1), function(batch))[1]
        return captured


@executions.register
class Never(InPython):
    """Its batches have a new shape each time, as it seems."""

    name = "never"

    def _has_enough(self):
        return True


@executions.register
class OtherKernels(InPython):
    """Each rank launches one of its own."""

    name = "other-kernels"

    @property
    def contents(self):
        return GraphContents({"gemm": 2, f"fill {agreement.rank()}": 1}, "")


class Captured:
    contents = None

    def __init__(self, function, batch, *_):
        if len(batch) == REFUSED:
            raise graph.CaptureError("it cannot be captured")
        self.function = function

    def __call__(self, batch):
        return self.function(batch)


graph.PATIENCE_SECONDS = 3.0
graph.WARM_UP_OF_RANKS = 2
graph._Captured = Captured
Precision.uncapturable = None
graph._side_stream = graph._index = lambda device: None


class Padded(OwnStep):
    unit = "rows"
    units_per_batch = 8
    precisions = ("fp32",)
    distributed = True
    must_learn = False

    def build(self, precision, device):
        self.model = nn.Linear(8, 1)
        model, optimiser = DistributedDataParallel(self.model), torch.optim.SGD(self.model.parameters(), lr=1e-2)

        def step(batch):
            loss = model(batch).square().mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            return loss.detach()

        return step

    def batches(self, device):
        for number in range(4):
            yield torch.ones(self.rows(number, distributed.get_rank()), 8)

    def parameters(self):
        return self.model


@register
class InTurns(Padded):
    """Ranks have the same two shapes, each at another step."""

    name = "in-turns"

    def rows(self, number, rank):
        return 8 + (number + rank) % 2


@register
class Apart(Padded):
    """All batches of rank 0 have one shape, and those of rank 1 have two."""

    name = "apart"

    def rows(self, number, rank):
        return 8 + number % 2 * rank


@register
class RefusedOnOne(Padded):
    name = "refused-on-one"

    def rows(self, number, rank):
        return REFUSED if rank else 8
