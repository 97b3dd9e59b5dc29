"""The sentence that says why a step takes the time it takes. Pure functions, without torch."""

from collections.abc import Collection

from mpcore.errors import sentences
from mpcore.records import Profile, Speed

LAUNCH_BOUND = 0.8
"""A GPU that is busy for less of an eager step waits for Python."""
ARITHMETIC = ("matrix product", "convolution", "attention", "recurrence")
"""The families that 16-bit arithmetic makes faster; all others move data, and gain what 16 bits are shorter to move."""
COMPUTE_BOUND = 0.5
FP32_BOUND = 0.25
"""Shares of the device's time from which on these are the reason."""
MIXED = 0.2
"""Share of FLOPs in 16 bits from which on FP32 kernels are worth a word."""
SHORT_MICROSECONDS = 5.0
"""A kernel that is shorter on average is starting and ending: its data would take less time to move."""
NAMED = 3
"""Families that are named."""


def bound(speed: Speed) -> str:
    """Whether Python, the memory or the arithmetic units set the time of this step."""
    return sentences(_launches(speed), _work(speed)) or "not profiled"


def _launches(speed: Speed) -> str:
    busy, overhead = speed.busy_share, speed.launch_overhead
    if busy is None or busy >= LAUNCH_BOUND:
        return ""
    gain = f", which a graph runs {overhead:.1f} times as fast" if overhead is not None else ""
    return f"launch-bound: the GPU is busy {100 * busy:.0f} % of an eager step{gain}"


def _work(speed: Speed) -> str:
    profile = speed.profile
    if profile is None or profile.seconds == 0:
        return ""
    whose = "the time" if speed.device == "cpu" else "the GPU's time"
    single = _share(profile, bits=32)
    if speed.low_precision_flops_share >= MIXED and single >= FP32_BOUND:
        return f"{100 * single:.0f} % of {whose} is in FP32 kernels ({_families(profile, bits=32)})"
    arithmetic = sum(f.seconds for f in profile.families if f.name in ARITHMETIC) / profile.seconds
    if arithmetic >= COMPUTE_BOUND:
        ceiling = speed.ceiling_share
        reached = f", {100 * ceiling:.0f} % of the ceiling reached" if ceiling is not None else ""
        return f"compute-bound: {100 * arithmetic:.0f} % of {whose} is arithmetic ({_families(profile, ARITHMETIC)}){reached}"
    others = [f for f in profile.families if f.name not in ARITHMETIC]
    share, named = f"{100 * (1 - arithmetic):.0f} % of {whose}", _families(profile, [f.name for f in others])
    if speed.device == "cpu":
        return f"{share} is outside of {', '.join(ARITHMETIC[:-1])} and {ARITHMETIC[-1]} ({named})"
    microseconds = 1e6 * sum(f.seconds for f in others) / sum(f.count for f in others)
    if microseconds < SHORT_MICROSECONDS:
        return f"latency-bound: {share} is in short kernels, of {microseconds:.1f} microseconds each ({named})"
    return f"memory-bound: {share} moves data ({named})"


def _share(profile: Profile, bits: int) -> float:
    return sum(f.seconds for f in profile.families if f.bits == bits) / profile.seconds


def _families(profile: Profile, names: Collection[str] | None = None, bits: int | None = None) -> str:
    """The largest that fit, with their shares."""
    seconds: dict[str, float] = {}
    for family in profile.families:
        if (names is None or family.name in names) and (bits is None or family.bits == bits):
            seconds[family.name] = seconds.get(family.name, 0.0) + family.seconds
    largest = sorted(seconds.items(), key=lambda item: -item[1])[:NAMED]
    return ", ".join(f"{name} {100 * value / profile.seconds:.0f} %" for name, value in largest)
