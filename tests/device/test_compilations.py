"""What is known of a compilation, with a backend that runs what it is given."""

import pytest
import torch
from torch import nn

from mpcore.device.compilations import Compilations


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


class Breaking(nn.Module):
    def forward(self, x):
        x = x * 2
        torch._dynamo.graph_break()
        return x * 3


class BreakingInALoop(nn.Module):
    def forward(self, x):
        for _ in range(2):
            x = x * 2
            torch._dynamo.graph_break()
        return x


@pytest.fixture(autouse=True)
def _anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(module, backend="eager"):
    module.compile(dynamic=False, backend=backend)
    return module


def seen(module, *shapes):
    with Compilations() as compilations:
        for shape in shapes:
            module(torch.ones(shape))
    return compilations.seen


def test_one_graph_is_compiled_once():
    module = compiled(Doubling())
    first = seen(module, 2, 2)
    assert first.graphs == 1
    assert first.seconds > 0
    assert (first.warm, first.graph_breaks, first.recompilations) == (False, (), ())
    assert seen(module, 2).graphs == 0


def test_a_break_is_named_with_its_line():
    found = seen(compiled(Breaking()), 2)
    assert found.graphs == 2
    (reason,) = found.graph_breaks
    assert reason.startswith("Call to `torch._dynamo.graph_break()` (test_compilations.py, line ")
    assert reason.endswith("torch._dynamo.graph_break())")


def test_a_break_in_a_loop_that_leaves_a_function_out_is_named_too():
    with Compilations() as compilations:
        compiled(BreakingInALoop())(torch.ones(2))
    (reason,) = compilations.seen.graph_breaks
    assert reason.startswith("Call to `torch._dynamo.graph_break()` (test_compilations.py, line ")
    assert reason.endswith(": forward)")


def test_what_is_compiled_again_is_named_with_its_reason():
    found = seen(compiled(Doubling()), 2, 3)
    assert found.graphs == 2
    (reason,) = found.recompilations
    assert reason.startswith("tensor 'x' size mismatch at index 0. expected 2, actual 3 (test_compilations.py, line ")
    assert reason.endswith(": forward)")


def test_what_compiled_code_in_its_block_is_for_is_said():
    with Compilations() as compilations:
        assert list(compilations.reasons) == []
        compiled(Doubling())(torch.ones(2))
    assert list(compilations.reasons) == ["code that had not been called before"]


def test_it_is_warm_once_all_code_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    assert not seen(compiled(Doubling(), "inductor"), 2).warm
    torch.compiler.reset()
    assert seen(compiled(Doubling(), "inductor"), 2).warm
