"""One case in, the counts of one of its steps out: the same in every process."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from mpcore.device.nvml import NvmlSampler
from mpcore.measure import Bench
from mpcore.measure.setup import TimingSetup
from mpcore.measure.work import dispatched, measure_work, work_of
from mpcore.precision.base import Precision
from mpcore.records import Case, Requirements
from mpcore.training.step import TrainStep

CASES = {
    "bert-imdb": "bf16-amp",
    "gpt2-text": "fp16-manual",
    "resnet18-mnist": "bf16-amp",
    "ncf-movielens": "bf16-kahan",
}
COUNT = """
import sys
import torch
from mpcore.measure import Bench
from mpcore.records import Case
bench = Bench(torch.device("cpu"))
for name in sys.argv[1:]:
    workload, precision = name.split("/")
    print(bench.work(Case(workload=workload, precision=precision, size="tiny")).model_dump_json())
"""


def counted():
    bench = Bench(torch.device("cpu"))
    return [bench.work(Case(workload=w, precision=p, size="tiny")).model_dump_json() for w, p in CASES.items()]


def test_the_same_step_has_the_same_counts_byte_for_byte():
    """Twice in a process, and in a fresh one that counts in another order."""
    first = counted()
    assert counted() == first
    names = [f"{workload}/{precision}" for workload, precision in reversed(CASES.items())]
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    fresh = subprocess.run([sys.executable, "-c", COUNT, *names], env=environment, capture_output=True, text=True, check=True)
    assert [line for line in fresh.stdout.splitlines() if line.startswith("{")] == first[::-1]


def setup_of(workload, cpu, rows=32):
    batch = workload.split("train", cpu).rows(slice(rows))
    case = Case(workload="dots", precision="fp32", size="tiny")
    return TimingSetup(case, workload, cpu, Requirements(), batches=[batch], sampler=NvmlSampler(cpu), target=0.5)


def test_state_is_weights_gradients_and_what_the_optimiser_remembers(dots, cpu):
    found = measure_work(setup_of(dots, cpu))
    weights = 4 * (16 * 32 + 32 + 32 * 2 + 2)
    assert found.parameter_bytes == weights
    assert found.gradient_bytes == 0  # they are dropped at the end of a step
    assert found.optimiser_bytes == 2 * weights + 4 * 4  # two moments, and a count of steps for each of four weights
    assert found.software["torch"] == torch.__version__
    assert (found.kernels, found.graph_signature) == (None, None)


def test_what_is_kept_is_that_of_the_batch_and_not_of_the_data_set(dots, cpu):
    found = measure_work(setup_of(dots, cpu))
    rows, inputs, hidden, classes = 32, 16, 32, 2
    activations = 4 * rows * (inputs + 3 * hidden + classes)  # after ReLU and dropout, and what dropout drops
    assert found.saved_bytes == activations + 8 * rows + 4  # labels, and their weight
    assert measure_work(setup_of(dots, cpu, rows=16)).saved_bytes == (activations + 8 * rows) // 2 + 4


class Remembers(Precision):
    """What an optimiser of one's own may remember, and gradients that are kept, and sparse."""

    name = "remembers"

    def build_optimiser(self, weights, recipe):
        optimiser = torch.optim.SGD(weights, lr=0.1)
        optimiser.state[weights[0]] = {
            "history": [torch.ones(4), torch.ones(4)],
            "count": 3,
            "nested": {"scale": torch.ones(2)},
        }
        return optimiser

    def update(self):
        self.optimiser.step()


@pytest.fixture
def sparse(dots, monkeypatch):
    """The test workload with a lookup table, whose gradient has a row for each number that a batch asks for."""

    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(10, 4, sparse=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.table((x[:, 0] > 0).long()))

    monkeypatch.setattr(type(dots), "build_model", lambda self: Looks())
    return dots


def test_sparse_gradients_and_nested_state_are_counted(sparse, cpu):
    setup = setup_of(sparse, cpu)
    step = TrainStep(sparse, Remembers(), cpu)
    found = work_of(setup, step, dispatched(step, setup.batches[0]), None)
    assert found.optimiser_bytes == 4 * (4 + 4 + 2)
    gradient = step.model.table.weight.grad
    assert gradient.is_sparse
    assert found.gradient_bytes > 4 * (4 * 2 + 2) + 4 * gradient._values().numel()
    assert found.operations["embedding | float32 | 10x4 32 | table | forward"] == 1


def test_a_lazy_layer_is_counted_once_it_knows_its_size(dots, cpu, monkeypatch):
    monkeypatch.setattr(type(dots), "build_model", lambda self: nn.Sequential(nn.LazyLinear(2)))
    assert measure_work(setup_of(dots, cpu)).operations["addmm | float32 | 2 32x16 16x2 | 0 | forward"] == 1
