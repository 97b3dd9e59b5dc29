"""Where a rank is during a step, from kernels that anybody can add up."""

import contextlib
from unittest.mock import Mock

import pytest
import torch

from mpcore.device import agreement, profiler
from mpcore.device.profiler import STEPS, rank_time
from mpcore.records import RankTime


def test_what_collectives_take_is_exposed_where_nothing_computes():
    kernels = [
        ("gemm", 0.0, 4.0),
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL(x)", 3.0, 6.0),
        ("adam", 6.0, 8.0),
        ("ncclDevKernel_AllGather_RING_LL(x)", 6.5, 7.0),
        ("elementwise", 1.0, 2.0),
    ]
    found = rank_time(kernels, steps=2)
    assert found == RankTime(compute=3.0, communication=1.75, exposed=1.0)


def test_a_step_without_collectives_exposes_nothing():
    assert rank_time([("gemm", 1.0, 2.0)], steps=1) == RankTime(compute=1.0, communication=0, exposed=0)


@pytest.mark.parametrize(("device", "first"), [("cuda", ["records", "all are here"]), ("cpu", ["records"])])
def test_ranks_begin_together_once_all_profilers_record(monkeypatch, device, first):
    happened = []

    @contextlib.contextmanager
    def records(**_):
        happened.append("records")
        yield Mock(events=list)

    monkeypatch.setattr(profiler, "profile", records)
    monkeypatch.setattr(profiler, "synchronise", lambda _: happened.append("the GPU is done"))
    monkeypatch.setattr(agreement, "wait_for_all", lambda: happened.append("all are here"))
    profiler.profiled_rank(lambda: happened.append("step"), torch.device(device))
    assert happened[: len(first) + STEPS + 1] == [*first, *["step"] * STEPS, "the GPU is done"]
