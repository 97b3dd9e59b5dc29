"""Faults in what ranks have in common, each caught and named."""

from hashlib import sha256

import made
import pytest
from faults_of_ranks import FAULTS, GOOD, MORE, OTHER, OTHERWISE, RIGHT, SPREAD_ALREADY, other

from mpcore.gate.checks import checks
from mpcore.gate.regressions_of_ranks import regressions_of_ranks
from mpcore.records import OnePart, Parallel, Rank, RankState, RankTime, Repetition, Unlike


def test_what_is_right_passes_each_check():
    found = checks(Parallel(**RIGHT))
    assert [check.metric for check in found] == [
        "replicas",
        "skipped steps",
        "collectives",
        "averaged gradients",
        "accumulated gradients",
        "gradient in FP64 in parts",
        "gradient in FP64 in one piece",
        "gradient in fp32 in parts",
        "gradient in fp32 in a part for each rank",
    ]
    assert all(check.passed for check in found)
    assert found[0].sentence == "bert: after 20 steps 2 replicas are equal, bit for bit"
    assert found[2].sentence == "bert: a step calls 2 allreduce_ of 400 bytes in float32, on all ranks alike"


def test_hashes_of_nothing_are_no_equal_replicas():
    """As of an own step that names no weights."""
    nothing = sha256().hexdigest()
    empty = RankState(masters=nothing, weights=nothing, optimiser=nothing, buffers=nothing)
    found = checks(Parallel(**RIGHT | {"case": SPREAD_ALREADY, "ranks": (empty, empty), "planted": None}))[0]
    assert not found.passed
    assert "replicas are not compared: parameters() gives no weight, and optimisers() no state" in found.sentence
    some = other(empty, optimiser="c")
    assert checks(Parallel(**RIGHT | {"case": SPREAD_ALREADY, "ranks": (some, some), "planted": None}))[0].passed


def test_what_is_too_large_for_one_rank_is_said():
    found = checks(Parallel(**RIGHT | {"joint_error": None, "joint_too_large": True}))
    (said,) = [check for check in found if check.metric == "gradient in FP64 in one piece"]
    assert said.passed
    assert said.sentence.endswith("in one piece: FP64 needs more memory than one GPU has")
    *_, said = checks(Parallel(**RIGHT | {"one_part": None, "one_part_too_large": True}))
    assert said.passed
    assert said.sentence.endswith("in a part for each rank: FP64 needs more memory than one GPU has")


@pytest.mark.parametrize(("changes", "metric", "said"), FAULTS)
def test_each_fault_fails_its_check(changes, metric, said):
    failed = [check for check in checks(Parallel(**(RIGHT | changes))) if not check.passed]
    assert [check.metric for check in failed][:1] == ([metric] if metric else [])
    assert not metric or said in failed[0].sentence


def test_a_strategy_that_cannot_be_measured_beside_it_is_said():
    found = checks(Parallel(**(RIGHT | {"like": "ddp", "unlike": "ddp averages each weight"})))
    (said,) = [check for check in found if check.metric == "gradient against ddp"]
    assert said.passed
    assert said.sentence.endswith("averages is not compared with ddp: ddp averages each weight")


def test_running_statistics_may_be_each_ranks_own():
    assert all(check.passed for check in checks(Parallel(**(RIGHT | {"ranks": (GOOD, other(GOOD, buffers="x"))}))))


def test_shards_differ_from_rank_to_rank():
    shards = (GOOD, other(GOOD, masters="x", weights="y"))
    repeated = Repetition(steps=8, first=shards, second=shards, by_python=True)
    found = checks(Parallel(**(RIGHT | {"sharded": True, "ranks": shards, "repetition": repeated})))
    assert all(check.passed for check in found)
    said = "bert: after 8 steps 2 shards are those of a second training, bit for bit. Python launches the second training"
    assert found[0].sentence == said
    assert "graph" not in [check.metric for check in found]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sharded": True}, ". That is not judged: parts of weights may have other sizes on each rank"),
        ({"case": SPREAD_ALREADY}, ". That is not judged: only its author knows what ranks are to do"),
    ],
)
def test_kernels_of_shards_and_of_own_steps_are_said_and_not_judged(changes, said):
    unlike = Unlike(rank=1, on_first={"gemm": 3}, here={"gemm": 2})
    found = checks(Parallel(**(RIGHT | {"kernels": (unlike,)} | changes)))
    (check,) = [check for check in found if check.metric == "kernels of ranks"]
    assert check.passed
    assert check.sentence.endswith(f"gemm 3 on rank 0, 2 here{said}")


def test_kernels_that_cudnn_chooses_may_be_others():
    chosen = "cudnn::winograd_nonfused::winogradForwardData4x4"
    found = checks(Parallel(**(RIGHT | {"kernels": (Unlike(rank=1, on_first={chosen: 1}, here={}),)})))
    (check,) = [check for check in found if check.metric == "kernels of ranks"]
    assert check.passed
    assert check.sentence.endswith("graphs of ranks launch the same kernels, but for those that cuDNN chooses")


def test_what_cannot_be_the_same_in_a_graph_is_said():
    repeated = OTHERWISE.model_copy(update={"excuse": "it draws"})
    (check,) = [check for check in checks(Parallel(**(RIGHT | {"repetition": repeated}))) if check.metric == "graph"]
    assert check.passed
    assert check.sentence.endswith("replicas are not compared with those of a second training: it draws")


def test_without_a_scale_or_a_yardstick_there_is_less_to_check():
    figures = ("planted", "reduced", "accumulated", "mode_error", "fp64_error", "joint_error", "one_part")
    none = dict.fromkeys(figures) | {"case": SPREAD_ALREADY}
    assert [check.metric for check in checks(Parallel(**(RIGHT | none)))] == ["replicas", "collectives"]


@pytest.mark.parametrize(
    ("changes", "statuses", "said"),
    [
        ({}, ["same", "same", "same", "same"], ""),
        (
            {"collectives": (MORE,)},
            ["worse", "worse", "same", "same"],
            "3 calls between ranks, 2 in the last accepted run: allreduce_ (float32) 2 calls, 400 bytes -> 3",
        ),
        ({"collectives": ()}, ["better", "better", "same", "same"], "allreduce_ (float32) 2 calls, 400 bytes -> none"),
        (
            {"collectives": (OTHER,)},
            ["changed", "changed", "same", "same"],
            "allreduce_ (bfloat16) none -> 2 calls, 400 bytes",
        ),
        ({"mode_error": 0.05}, ["same", "same", "worse", "same"], ""),
        ({"mode_error": None}, ["same", "same", "worse", "same"], ""),
        ({"one_part": OnePart(mode_error=0.05)}, ["same", "same", "same", "worse"], ""),
        ({"one_part": None, "one_part_too_large": True}, ["same", "same", "same"], ""),
    ],
)
def test_what_ranks_send_and_average_is_compared_with_accepted_runs(changes, statuses, said):
    found = regressions_of_ranks([Parallel(**RIGHT)], Parallel(**(RIGHT | changes)), factor=1.5)
    assert [regression.status for regression in found] == statuses
    assert said in found[0].sentence


@pytest.mark.parametrize(("compute", "failed"), [((1.0, 1.02), []), ((1.0, 1.0, 1.05, 1.01), ["slowest rank"])])
def test_a_rank_that_others_wait_for_and_that_is_5_per_cent_slower_is_named(compute, failed):
    blocks = made.speed().blocks
    ranks = [Rank(rank=n, blocks=blocks, weights_hash="", time=RankTime(compute=c)) for n, c in enumerate(compute)]
    speed = made.speed(device="cuda", ranks=ranks)
    wrong = [check for check in checks(speed) if not check.passed and check.metric == "slowest rank"]
    assert [check.metric for check in wrong] == failed
    assert all(
        "others wait for rank 2, which computes 1.050 times as long as the median of ranks" in check.sentence for check in wrong
    )
    assert "slowest rank" not in [check.metric for check in checks(made.speed(ranks=ranks))]
