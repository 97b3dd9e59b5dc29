import re

import pytest

from mpcore.kernels.bound import COMPUTE_BOUND, FP32_BOUND, LAUNCH_BOUND, MIXED, bound
from mpcore.records import Blocks, Case, Family, Profile, Speed

MATMUL, ATTENTION, CONVOLUTION = "matrix product", "attention", "convolution"
BERT = [
    (MATMUL, 16, 11.5),
    ("elementwise", 16, 3.1),
    ("optimiser", 32, 1.9),
    (ATTENTION, 16, 1.5),
    ("cast and copy", None, 1.0),
]
"""Families of a step of BERT-base in fp16-amp: name, bits, ms."""


def profile(*families):
    return Profile(
        kernels=(),
        families=tuple(Family(name=name, bits=bits, count=10, seconds=ms / 1e3) for name, bits, ms in families),
    )


def blocks(ms):
    return Blocks(steps=1, seconds=(ms / 1e3, ms / 1e3))


def speed(ms=19.2, eager=None, families=(), execution="graph", **changes):
    """Times are of a step, in ms."""
    fields = {
        "case": Case(workload="bert-imdb", precision="fp16-amp", execution=execution, size="full"),
        "workload_version": 1,
        "device": "cuda",
        "batch_size": 64,
        "unit": "reviews",
        "blocks": blocks(ms),
        "eager": blocks(eager) if eager else None,
        "references": {},
        "peak_allocated_bytes": 2**30,
        "peak_reserved_bytes": 2**30,
        "pool_bytes": None,
        "loss_before": 0.7,
        "loss_after": 0.5,
        "loss_scale": 65536.0,
        "skipped_steps": 0,
        "flops_per_step": 6 * 10**12,
        "low_precision_flops_share": 0.98,
        "ceiling_flops": None,
        "profile": profile(*families) if families else None,
        "gpu": None,
        "dropped_blocks": 0,
    }
    return Speed(**fields | changes)


def test_a_graph_of_arithmetic_is_told_with_its_ceiling():
    bert = speed(ms=19.2, eager=31.7, families=BERT, ceiling_flops=625e12)
    assert bound(bert) == (
        "launch-bound: the GPU is busy 60 % of an eager step, which a graph runs 1.7 times as fast. "
        "compute-bound: 68 % of the GPU's time is arithmetic (matrix product 61 %, attention 8 %), "
        "50 % of the ceiling reached"
    )


def test_an_eager_step_that_python_holds_back_is_told_with_what_moves_data():
    families = [("batch normalisation", 32, 0.6), (CONVOLUTION, 16, 0.5), ("elementwise", 16, 0.4), ("optimiser", 32, 0.2)]
    resnet = speed(ms=9.6, families=families, execution="eager", low_precision_flops_share=0.1)
    assert bound(resnet) == (
        "launch-bound: the GPU is busy 18 % of an eager step. "
        "memory-bound: 71 % of the GPU's time moves data (batch normalisation 35 %, elementwise 24 %, optimiser 12 %)"
    )


def test_a_step_on_a_cpu_is_told_by_the_time_and_not_by_the_gpu():
    families = [("optimiser", None, 30.0), (MATMUL, None, 60.0), ("elementwise", None, 10.0)]
    tiny = speed(ms=120.0, families=families, execution="eager", device="cpu")
    assert bound(tiny) == "compute-bound: 60 % of the time is arithmetic (matrix product 60 %)"


def test_what_was_not_profiled_says_so():
    assert bound(speed()) == "not profiled"


def test_a_profile_of_nothing_explains_nothing():
    assert bound(speed(families=[(MATMUL, 16, 0.0)], device="cpu")) == "not profiled"


@pytest.mark.parametrize(("share", "told"), [(0.79, True), (LAUNCH_BOUND, False), (0.95, False)])
def test_a_gpu_that_is_busy_for_most_of_an_eager_step_does_not_wait_for_python(share, told):
    busy = speed(ms=10.0, families=[(MATMUL, 16, 10 * share)], execution="eager")
    assert ("launch-bound" in bound(busy)) is told


def test_what_a_graph_gains_is_named_only_where_there_is_one():
    eager = bound(speed(ms=31.7, families=BERT, execution="eager"))
    assert "launch-bound" in eager
    assert "graph" not in eager


def test_the_ceiling_is_named_only_where_it_is_known():
    assert "ceiling" not in bound(speed(families=BERT))


@pytest.mark.parametrize(("ms", "sets"), [(49, "memory-bound"), (100 * COMPUTE_BOUND, "compute-bound"), (90, "compute-bound")])
def test_half_of_the_time_in_arithmetic_is_compute_bound(ms, sets):
    text = bound(speed(families=[(CONVOLUTION, 16, ms), ("optimiser", None, 100 - ms)]))
    assert re.findall(r"\w+-bound", text) == [sets]


def test_products_convolutions_and_attention_are_arithmetic():
    families = [(MATMUL, 16, 30), ("softmax and loss", 16, 10), (CONVOLUTION, 16, 20), (ATTENTION, 16, 10), ("pooling", 16, 30)]
    assert "60 % of the GPU's time is arithmetic (matrix product 30 %, convolution 20 %, attention 10 %)" in bound(
        speed(families=families)
    )


def test_three_families_are_named_of_those_that_move_data_the_largest_first():
    families = [("pooling", 16, 5), ("optimiser", None, 30), (MATMUL, 16, 20), ("reduction", 16, 18), ("elementwise", 16, 27)]
    text = bound(speed(families=families))
    assert "moves data (optimiser 30 %, elementwise 27 %, reduction 18 %)" in text
    assert "pooling" not in text


def test_a_family_of_several_formats_is_named_once():
    families = [(MATMUL, 16, 50), (MATMUL, 32, 10), ("elementwise", 16, 40)]
    assert "is arithmetic (matrix product 60 %)" in bound(speed(families=families))


@pytest.mark.parametrize(
    ("low_precision_share", "single", "told"),
    [
        (0.98, 30, True),
        (0.98, 100 * FP32_BOUND, True),
        (0.98, 20, False),
        (MIXED, 30, True),
        (0.1, 30, False),
        (0.0, 100, False),
    ],
)
def test_a_mode_of_16_bits_whose_kernels_are_not_is_told_which(low_precision_share, single, told):
    """FP32 kernels are what is expected of a mode that does little in 16 bits."""
    families = [(MATMUL, 16, 100 - single), ("layer normalisation", 32, single * 0.7), ("optimiser", 32, single * 0.3)]
    text = bound(speed(families=[f for f in families if f[2]], low_precision_flops_share=low_precision_share))
    assert ("in FP32 kernels" in text) is told
    if told:
        named = f"(layer normalisation {0.7 * single:.0f} %, optimiser {0.3 * single:.0f} %)"
        assert f"{single:.0f} % of the GPU's time is in FP32 kernels {named}" in text
        assert "bound" not in text
