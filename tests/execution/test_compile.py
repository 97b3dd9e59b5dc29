"""Steps whose model is compiled."""

import gc
from weakref import WeakSet

import pytest
import torch
from torch import nn
from torch._dynamo import config
from torch.profiler import ProfilerActivity, profile

from mpcore.device.compilations import Compilations
from mpcore.device.flops import FlopCount
from mpcore.execution import Compile, Eager, Graph, Inductor, compile, forget_dead, inductor
from mpcore.execution.inductor import VERSIONS
from mpcore.measure.collectives import sent
from mpcore.measure.work import dispatched
from mpcore.precision.native import FP32
from mpcore.records import Compiled
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep

needs_compiler = pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")


@pytest.fixture
def installed(monkeypatch):
    """installed("gcc"): the only programs that are found."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    return lambda *names: monkeypatch.setattr("shutil.which", lambda name: name if name in names else None)


@pytest.mark.parametrize("execution", [Compile, Inductor])
@pytest.mark.parametrize(
    ("device", "variable", "missing"),
    [
        ("cpu", "CXX", "a C++ compiler: expected g++ on the path, or CXX that names one"),
        ("cuda", "CC", "a C compiler: expected gcc or clang on the path, or CC that names one"),
    ],
)
def test_compiling_needs_a_compiler(execution, device, variable, missing, installed, monkeypatch):
    installed("/usr/bin/own")
    device = torch.device(device)
    assert execution.unsupported(device) == f"{execution.name} needs {missing}"
    monkeypatch.setenv(variable, "/usr/bin/own")
    assert execution.unsupported(device) is None
    monkeypatch.setenv(variable, "/usr/bin/nonsense")
    nonsense = f"{missing.partition(':')[0]}, and {variable}='/usr/bin/nonsense' is none"
    assert execution.unsupported(device) == f"{execution.name} needs {nonsense}"


@pytest.mark.parametrize(
    ("compiler", "devices"), [("g++", ["cpu"]), ("gcc", ["cuda"]), ("clang", ["cuda"]), ("clang++", []), ("c++", [])]
)
def test_a_compiler_counts_where_torch_looks_for_it(compiler, devices, installed):
    installed(compiler)
    assert [name for name in ("cpu", "cuda") if Inductor.unsupported(torch.device(name)) is None] == devices


@needs_compiler
@pytest.mark.parametrize("execution", ["compile", "inductor"])
def test_a_compiled_step_trains_as_an_eager_one_does_and_loses_no_sample(execution, dots, cpu, monkeypatch):
    split, loss, seen = dots.split("train", cpu), dots.loss, []
    eager, compiled = (TrainStep(dots, FP32(), cpu, execution=name, dropout=False) for name in ("eager", execution))
    monkeypatch.setattr(dots, "loss", lambda model, batch: seen.append(len(batch["x"])) or loss(model, batch))
    losses = [fit(step, split).losses for step in (compiled, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert sum(seen) == 2 * 3 * 1000
    assert not compiled.captured
    assert evaluate(compiled, dots.split("test", cpu)).metrics["accuracy"] > 0.9


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("execution", ["inductor", "compile", "reduce-overhead"])
def test_a_compiled_step_trains_on_a_gpu_as_an_eager_one_does(execution, accumulate, dots):
    device = torch.device("cuda")
    batches = list(dots.split("train", device).batches(100))
    eager, compiled = (
        TrainStep(dots, FP32(), device, execution=name, dropout=False, accumulate=accumulate) for name in ("eager", execution)
    )
    for step in (eager, compiled):
        step.launch(batches[0])
    losses = [[step(batch).item() for batch in batches] for step in (compiled, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert compiled.captured == (execution == "compile")


@pytest.fixture(autouse=True)
def _nothing_is_alive(monkeypatch):
    """Whatever other tests hold."""
    monkeypatch.setattr(inductor, "_alive", WeakSet())
    forget_dead()


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + self.linear(x).relu()


class Stack(nn.Module):
    """Equal blocks, and what is around them."""

    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(4))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@needs_compiler
def test_what_is_compiled_stays_while_its_model_lives():
    model, other, x = Stack(), Stack(8), torch.ones(2, 4)
    for each, batch in ((model, x), (other, torch.ones(2, 8))):
        Inductor.prepare(each)
        each(batch)
    with Compilations() as compilations:
        model(x)
    assert (compilations.seen.graphs, list(compilations.reasons)) == (0, [])


@needs_compiler
def test_what_is_counted_does_not_hang_on_what_was_compiled_before():
    found = []
    for width in (4, 8, 4):
        gc.collect()
        model = Stack(width)
        Inductor.prepare(model)
        with Compilations() as compilations:
            model(torch.ones(2, width))
        found.append(compilations.seen.counts)
        del model
    assert found == [Compiled(graphs=1)] * 3


def test_nothing_is_reset_where_nothing_was_compiled(monkeypatch):
    resets = []
    torch.compiler.reset()
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    forget_dead()
    assert resets == []
    torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1))
    forget_dead()
    assert resets == [1]


@needs_compiler
def test_a_model_of_a_class_of_torch_is_compiled_too():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.ones(2, 4)
    expected = model(x)
    Inductor.prepare(model)
    with Compilations() as compilations:
        torch.testing.assert_close(model(x), expected)
    assert compilations.seen.counts == Compiled(graphs=1)


@needs_compiler
def test_no_guard_watches_the_dictionaries_of_a_model():
    """By default those of torch 2.11 do, and its process dies when Python frees a model."""
    with config.patch(use_recursive_dict_tags_for_guards=True):
        model = Stack()
        Inductor.prepare(model)
        assert not config.use_recursive_dict_tags_for_guards
        del model


@needs_compiler
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_switches_of_dynamo_are_put_back_once_no_compiled_model_lives(order):
    """What a script compiles by itself may have many versions: torch runs the next as it is."""
    before = config.get_config_copy()
    models = {number: Stack() for number in order}
    for number in (0, 1):
        Inductor.prepare(models[number])
    for number in order:
        assert (config.recompile_limit, config.fail_on_recompile_limit_hit) == (VERSIONS, True)
        del models[number]
        gc.collect()
        forget_dead()
    assert config.get_config_copy() == before
    own = torch.compile(lambda x: x + 1, dynamic=False, backend="eager")
    assert [len(own(torch.ones(size))) for size in range(VERSIONS + 2)] == list(range(VERSIONS + 2))


@needs_compiler
def test_a_step_whose_collectives_were_counted_is_compiled_all_the_same(dots, cpu):
    """Where somebody watches, torch gives up for good what it meets."""
    step = TrainStep(dots, FP32(), cpu, execution="inductor")
    batch = dots.split("train", cpu).rows(slice(8))
    sent(step, batch)
    with Compilations() as compilations:
        step(batch)
    assert compilations.seen.graphs > 0


@needs_compiler
def test_a_step_of_several_ranks_that_was_watched_is_compiled_all_the_same(dots, cpu, monkeypatch):
    """Its launch goes through what compiles the first shape alone, which does not call off who passes over the compiled."""
    monkeypatch.setattr(compile.agreement, "ranks", lambda: 2)
    step = TrainStep(dots, FP32(), cpu, execution="compile")
    batch = dots.split("train", cpu).rows(slice(8))
    found = dispatched(step, batch)
    sent(step, batch)
    with FlopCount() as flops:
        step.launch(batch)
    assert found.flops["float32"] == flops.total > 0
    with Compilations() as compilations:
        step(batch)
    assert not compilations.reasons
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step(batch)
    assert "CompiledFunction" in {event.key for event in profiled.key_averages()}


def test_what_is_launched_is_compiled_but_not_captured():
    assert [how.launched() for how in (Eager, Graph, Inductor, Compile)] == [Eager, Eager, Inductor, Inductor]


class Counting(nn.Module):
    """Its `scaled` is compiled once more for each number."""

    def forward(self, x):
        for number in range(VERSIONS + 2):
            x = scaled(x, number)
        return x


def scaled(x, number):
    torch._dynamo.graph_break()
    return x * number


@needs_compiler
def test_what_is_compiled_too_often_is_named_with_its_guard_and_its_function():
    model = nn.Sequential(Counting(), nn.Linear(2, 2))
    Inductor.prepare(model)
    guard = r"number == \d+ \(test_compile.py, line \d+: scaled\)"
    with pytest.raises(RuntimeError, match=f"one function too often. The last guard that failed: {guard}$"):
        model(torch.ones(1, 2))
