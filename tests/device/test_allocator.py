"""Large blocks of a GPU's memory are kept whole while something is measured, and split while a graph is captured."""

import subprocess
import sys

import pytest
import torch

from mpcore.device import allocator
from mpcore.device.allocator import ALLOCATOR_VARIABLES, keep_large_blocks_whole, large_blocks_split, large_blocks_whole

WHOLE, SPLIT = "max_split_size_mb:4096", "max_split_size_mb:1048576"


@pytest.fixture
def told(monkeypatch):
    """What an allocator that has been told nothing yet is told; no variable is set."""
    for name in ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    settings = []
    monkeypatch.setattr(allocator, "_told", [])
    monkeypatch.setattr(torch._C, "_accelerator_setAllocatorSettings", settings.append)
    monkeypatch.setattr(torch._C, "_accelerator_getAllocatorSettings", lambda: settings[-1] if settings else "", raising=False)
    return settings


def test_a_process_of_our_own_keeps_large_blocks_whole(told):
    keep_large_blocks_whole()
    assert told == [WHOLE]


@pytest.mark.parametrize(("context", "within"), [(large_blocks_whole, WHOLE), (large_blocks_split, SPLIT)])
def test_blocks_are_split_as_without_a_setting_afterwards_however_that_ends(told, context, within):
    with pytest.raises(ZeroDivisionError), context():
        raise ZeroDivisionError
    assert told == [within, SPLIT]


def test_after_a_capture_large_blocks_are_kept_whole_as_before(told):
    with large_blocks_whole():
        with large_blocks_split():
            assert told == [WHOLE, SPLIT]
        assert told == [WHOLE, SPLIT, WHOLE]


def test_what_a_program_has_told_the_allocator_is_put_back(told):
    told.append("expandable_segments:True")
    with large_blocks_whole():
        assert told[-1] == WHOLE
    assert told[-1] == "expandable_segments:True"


def test_a_torch_that_cannot_be_asked_splits_all_blocks_afterwards(told, monkeypatch):
    """As 2.11."""
    monkeypatch.delattr(torch._C, "_accelerator_getAllocatorSettings")
    with large_blocks_whole(), large_blocks_split():
        pass
    assert told == [WHOLE, SPLIT, WHOLE, SPLIT]


@pytest.mark.parametrize("name", ALLOCATOR_VARIABLES)
def test_what_a_variable_has_told_the_allocator_stays(told, monkeypatch, name):
    monkeypatch.setenv(name, "expandable_segments:True")
    keep_large_blocks_whole()
    with large_blocks_whole(), large_blocks_split():
        pass
    assert told == []


SMALL_AFTER_LARGE = """
import torch
from mpcore.device.allocator import large_blocks_whole

def reserved():
    torch.cuda.empty_cache()
    large = torch.empty(6 * 2**30, dtype=torch.uint8, device="cuda")
    del large
    small = torch.empty(2**26, dtype=torch.uint8, device="cuda")
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()

torch.zeros(1, device="cuda")
with large_blocks_whole():
    within = reserved()
print(within < 2**30, reserved() < 2**30)
"""
LARGER_AFTER_LARGE = """
import torch
from mpcore.device.allocator import keep_large_blocks_whole
from mpcore.execution.graph import WARM_UP, Graph

gpu = torch.device("cuda")
keep_large_blocks_whole()
torch.cuda.set_per_process_memory_fraction(8 * 2**30 / torch.cuda.get_device_properties(gpu).total_memory)
fits = []

def workspace(gib):
    try:
        torch.empty(gib * 2**30, dtype=torch.uint8, device=gpu)
    except torch.cuda.OutOfMemoryError:
        return False
    return True

def step(batch):
    fits.append([workspace(5), workspace(7)])
    return model(batch["x"])

model = torch.nn.Linear(2, 1, device=gpu)
run = Graph(step, model)
with torch.no_grad():
    for _ in range(WARM_UP + 1):
        run({"x": torch.ones(1, 2, device=gpu)})
print(run.captured, fits[0], fits[-1])
"""


def in_a_process_of_its_own(code, monkeypatch):
    """Whose allocator is told by nobody else."""
    for name in ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_small_tensor_does_not_hold_a_large_block_until_the_allocator_is_put_back(monkeypatch):
    assert in_a_process_of_its_own(SMALL_AFTER_LARGE, monkeypatch) == "True False"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_capture_goes_on_without_a_workspace_that_does_not_fit(monkeypatch):
    """As cuDNN does, which takes its next algorithm then."""
    assert in_a_process_of_its_own(LARGER_AFTER_LARGE, monkeypatch) == "True [True, True] [True, False]"
