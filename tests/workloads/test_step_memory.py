"""What a step is said to hold, against what accepted runs recorded."""

from pathlib import Path

import pytest

from mpcore.records import Speed
from mpcore.store import all_accepted
from mpcore.workloads import workloads

BASELINES = Path(__file__).parents[2] / "baselines"
GIB = 2**30
FREE_SPACE = ("unet-membrane", "fp32")
"""cuDNN takes FFT where it finds memory for it, and less where it does not."""


@pytest.fixture(scope="module")
def peaks():
    """GiB by workload, batch and mode, of a step and of its graph, whichever is larger, where each was measured last. Runs of
    another version of a workload are of another model."""
    results = [result for runs in all_accepted(BASELINES).values() for run in runs for result in run.results]
    found = [r.record for r in results if isinstance(r.record, Speed) and r.record.case.size == "full"]
    current = {name: workloads[name].version for name in workloads.names()}
    speeds = [s for s in found if s.workload_version == current[s.case.workload] and s.case.execution == "graph"]
    return {
        (s.case.workload, s.batch_size, s.case.precision): max(s.peak_reserved_bytes or 0, s.pool_bytes or 0) / GIB
        for s in speeds
    }


def test_no_step_has_held_more_than_is_said_of_it_and_fp32_not_much_less(peaks):
    known = {key: peak for key, peak in peaks.items() if key[0] in workloads.names() and (key[0], key[2]) != FREE_SPACE}
    said = {key: memory.of(key[1]) for key in known if (memory := workloads[key[0]].step_memory)}
    assert {w for w, *_ in said} >= {"bert-imdb", "gpt2-text", "resnet50", "unet-membrane", "vit-l-cifar10"}
    assert {key: (known[key], most) for key, most in said.items() if known[key] > 1.02 * most + 0.05} == {}
    assert {k: (known[k], most) for k, most in said.items() if k[2] == "tf32" and known[k] < 0.85 * most - 0.5} == {}
