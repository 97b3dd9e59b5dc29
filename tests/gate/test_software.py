"""Software that a figure may depend on."""

import pytest

from mpcore.gate.software import counting, other_software

THEN = {
    "python": "3.12.3",
    "torch": "2.11.0",
    "pytest": "9.1.1",
    "pytest-benchmark": "5.2.3",
    "nccl": "2.28.9",
    "driver": "580",
}


@pytest.mark.parametrize(("gpus", "names"), [(1, {"python", "torch", "driver"}), (2, {"python", "torch", "driver", "nccl"})])
def test_no_step_is_slower_for_its_tests_and_one_gpu_sends_nothing(gpus, names):
    assert counting(THEN, gpus).keys() == names


@pytest.mark.parametrize(
    ("now", "gpus", "said"),
    [
        ({"driver": "590"}, 1, "driver 580 there, 590 here"),
        ({"nccl": "2.29.1"}, 1, ""),
        ({"nccl": "2.29.1"}, 8, "nccl 2.28.9 there, 2.29.1 here"),
        ({"pytest": "9.2.0", "pytest-benchmark": "5.3.1"}, 8, ""),
        ({"triton": "3.6.0"}, 1, ""),  # which the older run did not keep
        ({"torch": "2.12.0", "driver": "590"}, 1, "driver 580 there, 590 here, torch 2.11.0 there, 2.12.0 here"),
    ],
)
def test_what_counts_and_both_know_is_named(now, gpus, said):
    assert other_software(THEN, THEN | now, gpus) == said
