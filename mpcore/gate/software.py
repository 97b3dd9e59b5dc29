"""Which software a figure may depend on: what the gate blames, and what tables mark."""

from collections.abc import Mapping

from mpcore.gate.matching import differing

OF_TESTS = ("pytest", "pytest-benchmark")
"""What no step is slower for."""
OF_SEVERAL_GPUS = ("nccl",)


def counting(software: Mapping[str, str], gpus: int) -> dict[str, str]:
    """The versions that count for a step on so many GPUs, by name."""
    left_out = OF_TESTS if gpus > 1 else (*OF_TESTS, *OF_SEVERAL_GPUS)
    return {name: version for name, version in software.items() if name not in left_out}


def other_software(then: Mapping[str, str], now: Mapping[str, str], gpus: int) -> str:
    """In words, what counts and both know in another version; "" where that is nothing."""
    known = sorted(counting(then, gpus).keys() & now.keys())
    return differing(*({name: of[name] for name in known} for of in (then, now)))
