"""Graphs of two ranks, beside what Python launches and beside each other; by an execution that captures without a GPU."""

from pathlib import Path

import pytest
from started import PLANTED, case, launcher

from mpcore.gate.checks import checks
from mpcore.records import Parallel

STEPS = str(Path(__file__).parent / "captured_in_python.py")
EXECUTIONS = ("in-python", "stale", "other-kernels", "never", "draws-apart")
ASKED = [
    ("good", "ddp", "in-python"),
    ("good", "fsdp", "in-python"),
    ("good", "ddp", "stale"),
    ("good", "fsdp", "stale"),
    ("good", "ddp", "other-kernels"),
    ("good", "ddp", "never"),
    ("draws", "ddp", "draws-apart"),
    ("draws", "fsdp", "draws-apart"),
    ("good", "ddp", "draws-apart"),
    ("ordered", "ddp", "in-python"),
    ("unordered", "ddp", "in-python"),
]
OTHERWISE = "otherwise than in a second training from the same seed. The first weight that differs is"


@pytest.fixture(scope="module")
def found():
    cases = {(w, s, e): case(w, strategy=s, execution=e) for w, s, e in ASKED}
    with launcher("good", "draws", "ordered", "unordered", load=(PLANTED, STEPS), executions=EXECUTIONS) as ranks:
        measured = ranks.measure(list(cases.values()), kind="parallel")
    return {key: measured[each] for key, each in cases.items()}


def by_metric(record):
    assert isinstance(record, Parallel), record
    return {check.metric: check for check in checks(record)}


@pytest.mark.parametrize(("workload", "strategy"), [("good", "ddp"), ("good", "fsdp"), ("ordered", "ddp")])
def test_a_graph_trains_as_python_does(found, workload, strategy):
    what, metric = ("shards", "replicas") if strategy == "fsdp" else ("replicas", "graph")
    check = by_metric(found[workload, strategy, "in-python"])[metric]
    assert check.passed
    said = f"after 6 steps 2 {what} are those of a second training, bit for bit. Python launches the second training"
    assert check.sentence.endswith(said)


@pytest.mark.parametrize(("strategy", "metric"), [("ddp", "graph"), ("fsdp", "replicas")])
def test_a_graph_that_trains_on_what_it_was_captured_with_fails(found, strategy, metric):
    check = by_metric(found["good", strategy, "stale"])[metric]
    assert not check.passed
    assert OTHERWISE in check.sentence


def test_graphs_of_other_kernels_fail(found):
    check = by_metric(found["good", "ddp", "other-kernels"])["kernels of ranks"]
    assert not check.passed
    said = "the graph of rank 1 launches other kernels than rank 0's: fill 0 1 on rank 0, 0 here; fill 1 0 on rank 0, 1 here"
    assert check.sentence.endswith(said)


def test_a_step_that_was_never_captured_is_not_taken_for_one_that_trains_as_python_does(found):
    check = by_metric(found["good", "ddp", "never"])["graph"]
    assert check.passed
    assert check.sentence.endswith("second training: in so many steps no graph of it was captured")


def test_a_loss_that_draws_is_not_compared_with_python(found):
    made = by_metric(found["draws", "ddp", "draws-apart"])
    assert by_metric(found["good", "ddp", "draws-apart"])["graph"].sentence.endswith(
        "bit for bit. Python launches the second training"
    )
    assert made["graph"].passed
    assert made["graph"].sentence.endswith("it draws random numbers, and a graph draws others than Python does")


def test_shards_of_a_loss_that_draws_are_those_of_a_second_replay(found):
    made = by_metric(found["draws", "fsdp", "draws-apart"])
    assert made["replicas"].passed
    assert made["replicas"].sentence.endswith("after 6 steps 2 shards are those of a second training, bit for bit")


def test_kernels_that_add_in_any_order_are_said(found):
    check = by_metric(found["unordered", "ddp", "in-python"])["graph"]
    assert check.passed
    assert check.sentence.endswith("one rank by itself trains otherwise a second time, for its kernels add in any order")
