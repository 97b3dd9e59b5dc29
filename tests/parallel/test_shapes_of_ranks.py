"""Ranks whose batches differ in shape: each would capture its step when it has seen a shape often enough."""

from pathlib import Path

import pytest
from started import launcher

from mpcore.records import Case, Failure, Speed

STEPS = str(Path(__file__).parent / "captured_in_python.py")
NAMES = ("in-turns", "refused-on-one", "apart")


@pytest.fixture(scope="module")
def found():
    cases = [
        Case(workload=name, precision="fp32", size="tiny", strategy="own", gpus=2, execution="in-python") for name in NAMES
    ]
    with launcher(*NAMES, load=(STEPS,), executions=("in-python",)) as ranks:
        return {case.workload: measured for case, measured in ranks.measure(cases, kind="speedup").items()}


def test_ranks_capture_other_shapes_at_the_same_step(found):
    assert isinstance(found["in-turns"], Speed), found["in-turns"]


def test_a_shape_that_is_new_on_one_rank_alone_is_told_with_those_of_others(found):
    assert isinstance(found["apart"], Failure), found["apart"]
    said = (
        "rank 0 captures its step for a batch of [8, 8], and in 3 s none is captured by rank 1, whose last new shape is [9, 8]"
    )
    assert found["apart"].sentence.startswith(f"rank 0: {said}. A shape must become a graph on all ranks at once: expected")


def test_a_step_that_one_rank_cannot_capture_is_told_by_that(found):
    assert isinstance(found["refused-on-one"], Failure), found["refused-on-one"]
    assert found["refused-on-one"].sentence.startswith("rank 1: it cannot be captured: expected --mp-execution eager")
