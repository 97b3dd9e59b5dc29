"""The suite in size fit, where a process may use no more memory than a small card has."""

import pytest
import torch

from mpcore.records import Speed
from mpcore.store import load

GIB = 2**30
LARGEST = "gpt2-text,resnet50,unet-membrane"
CAPPED = """
import pytest, torch
pytest_plugins = ["mpcore.plugin"]

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    torch.cuda.set_per_process_memory_fraction({cap} / torch.cuda.get_device_properties(0).total_memory)
"""


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("gib", [15.5, 23.25], ids=["16 GB", "24 GB"])
def test_the_largest_workloads_fit_a_small_card(run, pytester, gib):
    """What does not is skipped with its reason, and nothing fails."""
    pytester.makeconftest(CAPPED.format(cap=gib * GIB))
    options = ("--mp-size", "fit", "--mp-data", "embedded", "-p", "no:cacheprovider")
    asked = ("-m", "speed or numerics", "--mp-workload", LARGEST, "--mp-precision", "fp32,bf16-amp", "--mp-execution", "graph")
    done = run(*asked, "--benchmark-json=run.json", options=options, isolated=True)
    found = load(pytester.path / "run.json")
    assert (done.ret, found.failed) == (0, ())
    speeds = [result.record for result in found.results if isinstance(result.record, Speed)]
    assert len(speeds) + len(found.skipped) >= 6
    assert speeds
    assert all(speed.peak_reserved_bytes <= gib * GIB for speed in speeds)
