"""Which modes, batches and yardsticks a card gets, by its compute capability and its memory. No GPU is needed."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch

from mpcore.device.machine import MEMORY_CLASSES, fast_in_fp64, memory_class
from mpcore.matrix import cases, device_of, possible
from mpcore.measure import Bench
from mpcore.measure.requirements import must_beat
from mpcore.measure.setups import Setups
from mpcore.measure.yardsticks import Yardsticks
from mpcore.precision import precisions
from mpcore.records import Case, Selection
from mpcore.registry import UnknownName
from mpcore.selection import SelectionError
from mpcore.workloads import workloads

GPU = torch.device("cuda")
T4, A100, A10, ADA, H100, B200, B300, BLACKWELL = (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)
FROM = {
    "fp32": T4, "fp16-amp": T4, "fp16-manual": T4, "fp16-true": T4, "fp16-forward": T4, "tf32": A100, "bf16-amp": A100,
    "bf16-manual": A100, "bf16-true": A100, "bf16-kahan": A100, "bf16-sr": A100, "fp8": ADA, "fp8-rowwise": H100,
}  # fmt: skip
"""The first of these cards that has the mode."""


@pytest.fixture
def card(monkeypatch):
    """card(capability, gib): torch takes "cuda" for it."""

    def card(capability=H100, gib=79.1, share=1.0):
        total = round(gib * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some Card")
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device=None: SimpleNamespace(total_memory=total))
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device=None: share)

    return card


@pytest.mark.parametrize("capability", [T4, A100, A10, ADA, H100, B200, B300, BLACKWELL])
def test_a_card_has_the_modes_that_its_generation_can_compute(card, capability, monkeypatch):
    card(capability)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # a torch without GPUs has no triton
    told = {name: precisions[name].unsupported(GPU) for name in FROM}
    assert {name for name, reason in told.items() if reason is None} == {n for n, least in FROM.items() if least <= capability}
    assert all(f"this is Some Card with {capability[0]}.{capability[1]}" in reason for reason in told.values() if reason)


@pytest.mark.parametrize(
    ("capability", "fast"), [(T4, False), (A100, True), (A10, False), (ADA, False), (H100, True), (BLACKWELL, False)]
)
def test_fewer_samples_are_computed_in_fp64_where_that_is_slow(card, capability, fast):
    card(capability)
    setups = Setups(torch.device("cpu"))
    setups.device = GPU
    rows = [Yardsticks(setups).rows(Case(workload=w, precision="fp32", size="fit")) for w in ("bert-imdb", "unet-membrane")]
    assert fast_in_fp64(GPU) is fast
    assert rows == ([32, 1] if fast else [8, 1])


def test_a_format_that_is_not_there_yet_is_named():
    with pytest.raises(UnknownName, match=r"^mxfp8 is not there yet: formats with a scale for each block"):
        precisions.check(["mxfp8"])


@pytest.mark.parametrize(
    ("name", "gib", "gb"),
    [
        ("T4", 14.56, 16), ("RTX 4080", 15.58, 16), ("A10G", 22.05, 24), ("RTX 4090", 23.52, 24), ("L40S", 44.4, 48),
        ("a part of an A100", 9.5, 10), ("H100", 79.1, 80), ("H200", 139.8, 141), ("MX150", 1.95, 4),
    ],
)  # fmt: skip
def test_a_card_is_in_the_class_that_it_is_sold_in(card, name, gib, gb):
    card(gib=gib)
    assert memory_class(GPU) == gb


def test_a_process_that_may_use_a_part_of_the_memory_has_a_smaller_card(card):
    card(gib=79.1, share=16 / 79.1)
    assert memory_class(GPU) == 16


@pytest.mark.parametrize(
    ("gib", "batches"),
    [
        (14.56, {"bert-imdb-1k": 64, "gpt2-text": 8, "resnet50": 128, "unet-membrane": 4, "vit-l-cifar10": 16}),
        (23.52, {"bert-imdb-1k": 64, "gpt2-text": 8, "resnet50": 128, "unet-membrane": 8, "vit-l-cifar10": 32}),
        (79.1, {"bert-imdb-1k": 64, "gpt2-text": 8, "resnet50": 256, "unet-membrane": 8, "vit-l-cifar10": 32}),
    ],
)  # fmt: skip
def test_the_batch_that_fits_stands_in_the_name_of_the_case(card, gib, batches):
    card(A10, gib)
    chosen = Selection(workloads=tuple(batches), precisions=("fp32",), size="fit", executions=("graph",))
    found = [case for case, _ in cases(chosen, GPU)]
    assert [case.id for case in found] == [f"{name}-fp32-graph-fit-b{batch}" for name, batch in batches.items()]
    assert {case.id for case in found} <= set(possible())
    entry = Bench(torch.device("cpu")).entry(found[-1])
    assert (entry.size, entry.rows_per_batch) == ("full", batches["vit-l-cifar10"])


def test_batches_shrink_with_the_memory_and_a_workload_that_says_nothing_keeps_its_own(dots):
    for workload in (workloads[name] for name in workloads.names()):
        if hasattr(workload, "fitting_batch"):
            found = [workload.fitting_batch(gb) for gb in MEMORY_CLASSES]
            assert found == sorted(found)
            assert found[-1] == workload.recipes["full"].batch_size
    assert workloads["llama-text"].fitting_batch(4) == workloads["llama-text"].recipes["full"].batch_size


def test_of_a_batch_that_fits_only_fp32_must_be_beaten(card):
    card(A10)
    case = Case(workload="resnet50", precision="bf16-amp", execution="graph", size="fit", batch_size=128)
    assert must_beat(case, precisions["bf16-amp"], workloads["resnet50"]("full"), GPU) == ("fp32",)


def test_a_cpu_has_no_memory_that_a_batch_could_fit():
    with pytest.raises(SelectionError, match="--mp-size fit: expected a GPU"):
        device_of(Selection(size="fit", device="cpu"))
