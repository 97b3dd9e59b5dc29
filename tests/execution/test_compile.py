"""A step whose model is compiled."""

import pytest
import torch

from mpcore.execution.compile import Compile
from mpcore.precision.native import FP32
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep


def test_compiling_needs_a_compiler(cpu, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert Compile.unsupported(cpu) == "compile needs a C++ compiler, and none is on the path"


@pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")
def test_a_compiled_step_trains_as_an_eager_one_does_and_loses_no_sample(dots, cpu):
    split = dots.split("train", cpu)
    eager, compiled = (TrainStep(dots, FP32(), cpu, execution=name, dropout=False) for name in ("eager", "compile"))
    seen = []
    compiled.model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    losses = [fit(step, split).losses for step in (compiled, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert sum(seen) == 3 * 1000
    assert not compiled.captured
    assert evaluate(compiled, dots.split("test", cpu)).metrics["accuracy"] > 0.9
