"""Whether a CPU computes a mode or emulates it. Without instructions for FP16 and BF16 their products are loops, which take a
hundred times as long as those of FP32."""

import itertools
import math
from typing import Any

import torch

from mpcore.measure.setup import Setup, TimingSetup
from mpcore.measure.timing import block_seconds
from mpcore.training.base import Step

EMULATED = 2.5
"""From this many times the step of FP32 on, a mode counts as emulated and only single steps of it are run."""
TRIALS, TRIAL_SECONDS = 3, 0.25
"""Steps in turns; the fastest count. Beside other processes, threads that wait for each other make one step take a hundred
times longer, and the next not."""


def emulation_of(setup: TimingSetup, reference: Setup) -> str | None:
    """Why a case is too slow on this CPU for more than single steps, or None. reference: the same case in FP32."""
    step = setup.build()
    times = slowdown_of(step, reference.build(), setup.batches_of(step)[0])
    if times < EMULATED:
        return None
    name = f"{setup.case.precision} in {setup.case.subject}"
    return f"this CPU emulates {name}: a step takes {times:.0f} times as long as in fp32; single steps run"


def slowdown_of(step: Step, reference: Step, batch: Any) -> float:
    """How many times as long as the reference's a step takes on the CPU."""
    steps = reference, step
    for one in steps:
        one(batch)
    fastest, spent = [math.inf, math.inf], 0.0
    for trial in itertools.count(1):
        seconds = [block_seconds(one, batch, 1, torch.device("cpu")) for one in steps]
        fastest, spent = [min(pair) for pair in zip(fastest, seconds, strict=True)], spent + sum(seconds)
        times = fastest[1] / fastest[0]
        if trial >= TRIALS and (times < EMULATED or spent > TRIAL_SECONDS):
            break
    return times
