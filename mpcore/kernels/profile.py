"""The profile of a step, from what it launches."""

from collections.abc import Mapping

from mpcore.kernels.classify import Bits, classify
from mpcore.records import Family, Kernel, Profile

LONGEST = 10
"""Kernels whose times are kept."""


def profile_of(launches: Mapping[str, tuple[float, float]], longest: int = LONGEST) -> Profile:
    """The profile of a step that launches these: from name to (count, seconds)."""
    kernels = [Kernel(name=name, count=count, seconds=seconds) for name, (count, seconds) in launches.items()]
    kernels.sort(key=lambda k: (-k.seconds, k.name))
    kinds: dict[tuple[str, Bits], list[Kernel]] = {}
    for kernel in kernels:
        kinds.setdefault(classify(kernel.name), []).append(kernel)
    families = [
        Family(name=name, bits=bits, count=sum(k.count for k in members), seconds=sum(k.seconds for k in members))
        for (name, bits), members in kinds.items()
    ]
    families.sort(key=lambda f: (-f.seconds, f.name, f.bits or 0))
    counts = {kernel.name: kernel.count for kernel in kernels}
    return Profile(kernels=tuple(kernels[:longest]), families=tuple(families), counts=counts)
