"""A case that needs more memory than there is, and one that others leave none for."""

import pytest
import torch

from mpcore.__main__ import main
from mpcore.device.occupancy import GpuProcess, Occupancy
from mpcore.measure import errors  # before pytester, which unloads what it sees loaded first
from mpcore.precision.autocast import BF16Autocast
from mpcore.report.documents import run_document
from mpcore.report.render import render
from mpcore.store import load

GIB = 2**30
ERROR = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 16.00 GiB of which 1.00 GiB is free."
ALONE = Occupancy(limit=16 * GIB, own=14 * GIB + GIB // 2, free=GIB, others=0, processes=())
BESIDE = Occupancy(
    limit=16 * GIB, own=2 * GIB, free=GIB, others=12 * GIB, processes=(GpuProcess(7, "python", 12 * GIB, draws=False),)
)
ARGUMENTS = ("--mp-workload", "bert-imdb", "--mp-precision", "bf16-amp,fp16-amp", "-m", "numerics")
LACKING = "2.00 GiB more were asked for where it held 14.50 GiB of 16.00 GiB"
LARGE = f"bert-imdb-bf16-amp-eager-tiny: it needs more memory than there is: {LACKING}"


@pytest.fixture
def full(monkeypatch):
    """full(held): BF16 under autocast finds no memory, as `held` by whoever it is."""

    def full(held):
        def fail(*_):
            raise torch.cuda.OutOfMemoryError(ERROR)

        monkeypatch.setattr(BF16Autocast, "set_learning_rate", fail)
        monkeypatch.setattr(errors, "occupancy", lambda device: held)

    return full


def test_what_is_too_large_by_itself_is_a_stored_skip_and_can_be_accepted(run, full, pytester):
    full(ALONE)
    result = run(*ARGUMENTS, "--benchmark-json", "run.json")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    assert LARGE in " ".join(result.stdout.str().split())
    saved = load(pytester.path / "run.json")
    (skipped,) = saved.skipped
    assert (skipped.name, skipped.reason) == ("numerics:bert-imdb-bf16-amp-eager-tiny", LARGE)
    assert LARGE in " ".join(render(run_document(saved), "terminal").split())
    baselines = str(pytester.path / "baselines")
    assert main(["accept", str(pytester.path / "run.json"), "--baselines", baselines, "--reason", "the first"]) == 0


def test_memory_that_others_hold_is_a_failure_that_names_them(run, full):
    full(BESIDE)
    result = run(*ARGUMENTS)
    result.assert_outcomes(passed=1, failed=1)
    said = "2.00 GiB more were asked for where it held 2.00 GiB of 16.00 GiB, for others hold 12.00 GiB (python (7))"
    result.stdout.fnmatch_lines([f"bert-imdb-bf16-amp-eager-tiny: {said}"])


def test_what_has_become_too_large_is_a_failure(run, full, pytester):
    assert run(*ARGUMENTS, "--benchmark-json", "run.json").ret == 0
    baselines = str(pytester.path / "baselines")
    assert main(["accept", str(pytester.path / "run.json"), "--baselines", baselines, "--reason", "the first"]) == 0
    full(ALONE)
    result = run(*ARGUMENTS)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"{LARGE}; an accepted run had memory for it"])
