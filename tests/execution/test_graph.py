"""A step that is captured and replayed."""

import gc

import numpy as np
import pytest
import torch
from torch import nn

from mpcore.execution import graph
from mpcore.execution.graph import MOST_GRAPHS, WARM_UP, CaptureError, Graph
from mpcore.execution.workspaces import workspace_pool
from mpcore.precision.autocast import FP16Autocast
from mpcore.precision.master import FP16MasterWeights
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture
def gpu():
    return torch.device("cuda")


def graph_of(function, device, model=None):
    return Graph(function, (model or nn.Linear(1, 1)).to(device))


def test_batches_of_many_shapes_do_not_all_become_graphs(monkeypatch):
    """Each graph keeps the memory of a step. What comes later is launched, and nothing is lost."""
    captured, seen = [], []
    monkeypatch.setattr(graph, "_side_stream", lambda device: None)
    monkeypatch.setattr(Graph, "_launch", lambda self, batch: self.function(batch))
    monkeypatch.setattr(Graph, "_capture", lambda self, batch: captured.append(len(batch["x"])) or self.function)
    options = {"device": torch.device("cpu", 0), "layout": lambda: len(seen) >= len(lengths)}
    padded = Graph(lambda batch: seen.append(len(batch["x"])), nn.Linear(1, 1), **options)
    lengths = [1 + number % 9 for number in range(9 * (WARM_UP + 2))]
    for length in 2 * lengths:
        padded({"x": torch.ones(length)})
    assert captured == 2 * list(range(1, MOST_GRAPHS + 1))  # another layout has others
    assert seen == 2 * lengths


@pytest.mark.cuda
@needs_gpu
class TestGraph:
    def test_every_call_counts_and_later_ones_are_replayed(self, gpu):
        total, runs = torch.zeros((), device=gpu), []

        def add(batch):
            runs.append(1)
            total.add_(batch["x"].sum())
            return total.clone()

        graph = graph_of(add, gpu)
        outputs = [graph({"x": torch.full((4,), float(i), device=gpu)}).item() for i in range(10)]
        assert outputs == [4.0 * sum(range(i + 1)) for i in range(10)]
        assert len(runs) == WARM_UP + 1
        assert graph.captured
        assert graph.pool_bytes > 0

    def test_the_same_batch_is_copied_again_only_after_a_change(self, gpu):
        graph = graph_of(lambda batch: batch["x"] * 1, gpu)
        batch = {"x": torch.ones(3, device=gpu)}
        for _ in range(WARM_UP + 2):
            graph(batch)
        place = graph._captured[graph._shape(batch)]._input["x"]
        place.fill_(7)
        assert graph(batch).tolist() == [7, 7, 7]
        batch["x"].add_(1)
        assert graph(batch).tolist() == [2, 2, 2]

    def test_another_shape_is_another_graph(self, gpu):
        graph = graph_of(lambda batch: batch["x"].sum(), gpu)
        for size in [4, 4, 4, 4, 3, 4, 3, 3, 3, 4, 3]:
            assert graph({"x": torch.ones(size, device=gpu)}).item() == size
        assert len(graph._captured) == 2

    def test_evaluation_is_another_graph_than_training(self, gpu):
        model = nn.Dropout(1.0)
        graph = graph_of(lambda batch: model(batch["x"]) * 1, gpu, nn.Sequential(nn.Linear(1, 1), model))
        batch = {"x": torch.ones(3, device=gpu)}
        for mode, expected in [(True, 0.0), (False, 1.0), (True, 0.0), (False, 1.0)]:
            graph.model.train(mode)
            for _ in range(WARM_UP + 2):
                assert graph(batch).tolist() == [expected] * 3

    @pytest.mark.parametrize("mode", [FP32, FP16Autocast, FP16MasterWeights])
    def test_a_training_with_an_incomplete_last_batch(self, dots, gpu, mode):
        """The same losses and the same weights as an eager one, with dropout off."""
        split = dots.split("train", gpu)
        graph, eager = (TrainStep(dots, mode(), gpu, execution=name, dropout=False) for name in ("graph", "eager"))
        losses = [fit(step, split).losses for step in (graph, eager)]
        assert len(losses[0]) == 96
        assert losses[0] == pytest.approx(losses[1], rel=32 * mode.roundoff(), abs=32 * mode.roundoff())
        assert evaluate(graph, dots.split("test", gpu)).metrics == evaluate(eager, dots.split("test", gpu)).metrics

    def test_with_dropout_the_loss_falls_and_no_two_replays_drop_the_same(self, dots, gpu):
        step, split = TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu)
        losses = fit(step, split).losses
        assert sum(losses[-10:]) < sum(losses[:10]) / 2
        step.precision.set_learning_rate(0.0)
        batch = split.rows(slice(32))
        assert len({step(batch).item() for _ in range(8)}) > 1

    def test_what_cannot_be_captured_is_named_with_its_place_and_the_next_case_works(self, dots, gpu):
        loss = dots.loss

        def waiting(model, batch):
            value = loss(model, batch)
            return value * (1.0 if value.item() > 0 else 0.0)

        dots.loss = waiting
        step, batch = TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu).rows(slice(32))
        for _ in range(WARM_UP):
            step(batch)
        with pytest.raises(CaptureError, match=r"cannot be captured as a CUDA graph: .*\(test_graph.py, line \d+: .*item"):
            step(batch)
        assert not step.captured
        dots.loss = loss
        assert fit(TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu)).losses[-1] < 0.5

    @pytest.mark.parametrize(
        ("mishap", "error", "words"),
        [
            (lambda: [][1], CaptureError, r"list index out of range \(test_graph.py, line \d+: .*\)"),
            (lambda: torch.empty(10**13, device="cuda"), torch.cuda.OutOfMemoryError, "out of memory"),
        ],
    )
    def test_what_python_or_the_allocator_cannot_do_while_capturing(self, dots, gpu, mishap, error, words):
        """The capture itself came to its end; the next case works and has random numbers."""
        loss = dots.loss

        def failing(model, batch):
            if torch.cuda.is_current_stream_capturing():
                mishap()
            return loss(model, batch)

        dots.loss = failing
        step, batch = TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu).rows(slice(32))
        for _ in range(WARM_UP):
            step(batch)
        with pytest.raises(error, match=words):
            step(batch)
        dots.loss = loss
        assert fit(TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu)).losses[-1] < 0.5

    def test_what_the_host_draws_is_said(self, dots, gpu):
        loss = dots.loss
        dots.loss = lambda model, batch: loss(model, batch) + 0 * np.random.rand()
        step, batch = TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu).rows(slice(32))
        for _ in range(WARM_UP + 1):
            step(batch)
        assert "it draws numbers on the host from the generator of NumPy" in step.remark

    def test_a_buffer_that_is_replaced_is_not_frozen_and_the_next_case_works(self, dots, gpu):
        loss, build = dots.loss, dots.build_model

        def replace(model):
            model.mean = model.mean * 0.9

        def with_buffer():
            model = build()
            model.register_buffer("mean", torch.ones(()))
            return model

        dots.build_model, dots.loss = with_buffer, lambda model, batch: (replace(model), loss(model, batch))[1]
        step, batch = TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu).rows(slice(32))
        for _ in range(WARM_UP):
            step(batch)
        with pytest.raises(CaptureError, match=r"replaces its buffer mean.*: expected --mp-execution eager"):
            step(batch)
        dots.loss = loss
        assert fit(TrainStep(dots, FP32(), gpu, execution="graph"), dots.split("train", gpu)).losses[-1] < 0.5

    def test_a_compiled_step_is_captured_too(self, dots, gpu):
        step, split = TrainStep(dots, FP32(), gpu, execution="compile"), dots.split("train", gpu)
        assert fit(step, split).losses[-1] < 0.5
        assert step.captured
        assert evaluate(step, dots.split("test", gpu)).metrics["accuracy"] > 0.9

    def test_a_dead_step_gives_its_memory_back(self, dots, gpu):
        """All but what the libraries keep for the stream that the first one was captured on."""
        batch, reserved = dots.split("train", gpu).rows(slice(32)), []
        for _ in range(3):
            step = TrainStep(dots, FP32(), gpu, execution="graph")
            for _ in range(WARM_UP + 1):
                step(batch)
            del step
            gc.collect()
            torch.cuda.empty_cache()
            reserved.append(torch.cuda.memory_reserved())
        assert reserved[0] == reserved[1] == reserved[2]

    def test_what_cublas_computes_in_stays_though_torch_gives_it_back(self, gpu):
        """As it does where it records graphs of its own. Products of few rows and columns are summed up in it."""
        weight = torch.randn(2**16, 64, device=gpu, requires_grad=True)

        def train(batch):
            weight.grad = None
            loss = (batch["x"] @ weight).square().sum()
            loss.backward()
            return loss.detach().clone()

        graph, batch = graph_of(train, gpu), {"x": torch.randn(64, 2**16, device=gpu)}
        before = [graph(batch).item() for _ in range(WARM_UP + 2)][-1]
        held = _bytes_of(workspace_pool(torch.cuda.current_device()))
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        assert _bytes_of(workspace_pool(torch.cuda.current_device())) == held > 0
        others = [torch.ones(2**25, device=gpu, dtype=torch.uint8) for _ in range(8)]
        assert graph(batch).item() == pytest.approx(before, rel=1e-5)
        assert all(other.all() for other in others)


def _bytes_of(pool):
    return sum(s["total_size"] for s in torch.cuda.memory_snapshot() if tuple(s["segment_pool_id"]) == pool)
