"""Steps whose model is compiled."""

import pytest
import torch

from mpcore.execution import Compile, Inductor
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep


@pytest.mark.parametrize("execution", [Compile, Inductor])
def test_compiling_needs_a_compiler(execution, cpu, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert execution.unsupported(cpu) == f"{execution.name} needs a C++ compiler, and none is on the path"


@pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")
@pytest.mark.parametrize("execution", ["compile", "inductor"])
def test_a_compiled_step_trains_as_an_eager_one_does_and_loses_no_sample(execution, dots, cpu):
    split = dots.split("train", cpu)
    eager, compiled = (TrainStep(dots, FP32(), cpu, execution=name, dropout=False) for name in ("eager", execution))
    seen = []
    compiled.model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    losses = [fit(step, split).losses for step in (compiled, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert sum(seen) == 3 * 1000
    assert not compiled.captured
    assert evaluate(compiled, dots.split("test", cpu)).metrics["accuracy"] > 0.9


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_with_graphs_of_torch_trains_as_an_eager_one_does(accumulate, dots):
    device = torch.device("cuda")
    batches = list(dots.split("train", device).batches(100))
    eager, reduced = (
        TrainStep(dots, FP32(), device, execution=name, dropout=False, accumulate=accumulate)
        for name in ("eager", "reduce-overhead")
    )
    losses = [[step(batch).item() for batch in batches] for step in (reduced, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert not reduced.captured
