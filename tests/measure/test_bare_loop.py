"""A step of ours against the same step in a loop without anything around it: the same graph, started with the same batch.

Both take turns for so long that the interval of the ratio is narrower than what is allowed. The batch never changes: a graph
that is started by itself keeps the one that was loaded last, and the time of a step hangs on its data.
"""

import pytest
import torch
from torch import nn

from mpcore.device.nvml import NvmlSampler
from mpcore.execution.graph import WARM_UP
from mpcore.gate.intervals import ratio_interval
from mpcore.measure import timing
from mpcore.measure.timing import TimedStep, interleave
from mpcore.precision import precisions
from mpcore.training.base import Step
from mpcore.training.script import ScriptStep
from mpcore.training.step import TrainStep
from mpcore.workloads import OwnStep
from mpcore.workloads.resnet18_mnist import ResNet18Mnist

ALLOWED = 1.002
"""Times as long as a bare loop that a step may take."""
SECONDS = 10.0
"""For each of the two: some 50 rounds, whose interval is narrower than a third of what is allowed."""
CUDA = torch.device("cuda")

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


class Wide(OwnStep):
    """A few milliseconds of products."""

    name = "wide"
    unit = "rows"
    units_per_batch = 1024
    precisions = ("fp32",)

    def build(self, precision, device):
        self.model = nn.Sequential(*(nn.Linear(2048, 2048) for _ in range(4))).to(device)
        lr = torch.tensor(1e-3, device=device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=lr, capturable=True, fused=True)

        def step(batch):
            loss = self.model(batch).square().mean()
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            return loss

        return step

    def batches(self, device):
        return torch.randn(2, 1024, 2048, device=device)

    def optimisers(self):
        return self.optimiser


class Bare(Step):
    """Nothing but a call."""

    def __init__(self, run, *, captured):
        self.device = CUDA
        self.run = run
        self._starts_a_graph = captured

    @property
    def captured(self):
        return self._starts_a_graph

    def __call__(self, batch):
        return self.run()


def graph_of(step):
    """The one that it has captured."""
    (captured,) = getattr(step._execute, "_run", step._execute)._captured.values()
    return captured._graph


def slower_than(step, batch, run):
    """How many times as long as a loop of `run` a step takes, with its interval."""
    ours, bare = TimedStep(step, [batch]), TimedStep(Bare(run, captured=step.captured), [batch])
    interleave([ours, bare], 0.0, NvmlSampler(CUDA))
    slower = ratio_interval(*([seconds / timed.steps for seconds in timed.seconds] for timed in (ours, bare)))
    print(
        f"{len(ours.seconds)} rounds: ours takes {slower.centre:.5f} times a bare loop ({slower.low:.5f} to {slower.high:.5f})"
    )
    return slower


@pytest.fixture(autouse=True)
def _long_enough(monkeypatch):
    monkeypatch.setitem(timing.TIME_LIMIT, "cuda", SECONDS)


@pytest.mark.parametrize("execution", ["graph", "compile"])
@pytest.mark.parametrize("precision", ["fp16-amp", "bf16-manual"])
def test_a_step_of_a_workload(precision, execution):
    """The shortest that there is: what is around it weighs most."""
    workload = ResNet18Mnist("full")
    step = TrainStep(workload, precisions[precision](), CUDA, execution=execution)
    batch = workload.split("train", CUDA).rows(slice(64))
    for _ in range(WARM_UP + 1):
        step(batch)
    assert slower_than(step, batch, graph_of(step).replay).high < ALLOWED


@pytest.mark.parametrize("execution", ["graph", "eager"])
def test_a_step_of_a_script(execution):
    step = ScriptStep(Wide("full"), "fp32", CUDA, execution=execution)
    batch = step.batches[0]
    for _ in range(WARM_UP + 1):
        step(batch)
    run = graph_of(step).replay if execution == "graph" else lambda: step._call(batch)
    assert slower_than(step, batch, run).high < ALLOWED
