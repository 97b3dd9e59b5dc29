"""A workload that trains in a moment, for tests of the core, and the suite as its users call it."""

import importlib
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from mpcore.data import Split
from mpcore.precision import PrecisionError
from mpcore.records import Recipe
from mpcore.workloads import Workload, cross_entropy

os.environ.pop("PYTEST_XDIST_WORKER", None)  # or pytest-benchmark saves nothing in the sessions that tests run
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TINY = ("--mp-size", "tiny", "--mp-device", "cpu", "--mp-data", "embedded", "-p", "no:cacheprovider")


def pytest_addoption(parser):
    """Here, and not beside the tests that read it, for a conftest that is found late adds none."""
    parser.addoption("--times", type=int, default=1, metavar="N", help="how often each fault is planted (default: 1)")


class Dots(Workload):
    """Which of two halves of a vector has the larger sum?"""

    name = "dots"
    unit = "vectors"
    classes = 2
    recipes = {"tiny": Recipe(epochs=3, batch_size=32, learning_rate=1e-2)}
    tolerances = {"tiny": 5.0}

    def build_model(self):
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))

    def data(self, split):
        generator = torch.Generator().manual_seed({"train": 0, "test": 1}[split])
        x = torch.randn({"train": 1000, "test": 200}[split], 16, generator=generator)
        return Split({"x": x, "label": (x[:, :8].sum(1) > x[:, 8:].sum(1)).long()})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)


def no_memory_for_cublas():
    """As a mode tells it: no error of the allocator, but of a library that has asked the driver."""
    error = PrecisionError("bf16-amp: backward() failed: CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
    error.__cause__ = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    return error


@pytest.fixture(
    params=[lambda: torch.cuda.OutOfMemoryError("CUDA out of memory"), no_memory_for_cublas], ids=["torch", "cuBLAS"]
)
def without_memory(request):
    """What is raised where there is none."""
    return request.param()


@pytest.fixture
def dots():
    return Dots("tiny")


@pytest.fixture
def cpu():
    return torch.device("cpu")


@pytest.fixture
def datasets_cache(tmp_path_factory, monkeypatch):
    """What `datasets` makes of a file goes with the test, and nothing asks the hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets, "load_dataset", None)


@pytest.fixture(scope="session")
def registered():
    """A session within this one forgets what it has imported, and these register operators, which a process does once."""
    for name in ("torch._inductor.test_operators", "torchao"):
        with suppress(ImportError):
            importlib.import_module(name)


@pytest.fixture
def run(pytester, monkeypatch, registered):
    """Runs the benchmarks in an empty folder without history."""
    monkeypatch.delenv("MPCORE_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent), prepend=os.pathsep)
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest('pytest_plugins = ["mpcore.plugin"]')
    for path in BENCHMARKS.glob("test_*.py"):
        (pytester.path / path.name).write_text(path.read_text())

    def run(*arguments, options=TINY, isolated=False):
        runner = pytester.runpytest_subprocess if isolated else pytester.runpytest_inprocess
        return runner(*options, *arguments)

    return run
