"""Verdicts on real runs: what was accepted of one machine was made by the same steps, in other processes on other GPUs."""

from itertools import permutations
from pathlib import Path

import pytest

from mpcore.gate import Since, compared
from mpcore.policy import Margins
from mpcore.registry import workloads
from mpcore.store import all_accepted

RUNS = all_accepted(Path(__file__).parents[2] / "baselines")


@pytest.mark.parametrize("key", ["nvidia-h100-80gb-hbm3", "nvidia-h200"])
def test_no_error_and_no_memory_of_a_step_is_worse_than_in_another_run(key):
    records = [{(r.record.kind, r.record.case): r.record for r in run.results} for run in RUNS[key]]
    worse, judged = [], 0
    for old, new in permutations(records, 2):
        for name, record in new.items():
            margins = Margins(points=1.0, updates=workloads[record.case.workload].update_noise)
            verdicts = [
                v for v in compared(Since(record, {0: old[name]}), margins) if "error" in v.metric or v.metric == "memory"
            ]
            worse += [v.sentence for v in verdicts if v.status == "worse"]
            judged += len(verdicts)
    assert (worse, judged) == ([], 12 * 56 * 3)
