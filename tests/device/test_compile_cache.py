"""What is compiled in one format is not run in another."""

import functools
import pickle

import pytest
import torch
from torch._functorch import config
from torch.torch_version import TorchVersion

from mpcore.device.compile_cache import keep_formats_apart
from mpcore.execution import Compile
from mpcore.precision import precisions
from mpcore.training.step import TrainStep

needs_compiler = pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")


@pytest.mark.parametrize(("version", "apart"), [("2.11.0+cu130", True), ("2.12.1", True), ("2.13.0+cpu", False)])
def test_the_key_of_a_torch_that_mixes_formats_up_gets_them(version, apart, monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    monkeypatch.setitem(vars(config), "save_config", functools.partial(type(config).save_config, config))
    keep_formats_apart.__wrapped__()
    found = [config.save_config()]
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            found.append(config.save_config())
    assert len(set(found)) == (3 if apart else 1)
    assert all(pickle.loads(key) == pickle.loads(found[0]) for key in found)


@needs_compiler
@pytest.mark.parametrize("execution", ["compile", "eager"])
def test_a_mode_runs_no_code_of_another_from_the_cache(dots, cpu, monkeypatch, execution):
    """That of torch 2.11 has FP16 for BF16. In an eager step it is the workload that compiles its model."""
    seen = []

    def loss(model, batch):
        out = (model if execution == "compile" else torch.compile(model))(batch["x"])
        seen.append(out.dtype)
        return out.float().square().mean()

    monkeypatch.setattr(dots, "loss", loss)
    batch = next(iter(dots.split("train", cpu).batches(100)))
    for name in ("fp16-amp", "bf16-amp"):
        TrainStep(dots, precisions[name](), cpu, execution=execution)(batch)
        torch.compiler.reset()
    assert seen == [torch.float16, torch.bfloat16]
