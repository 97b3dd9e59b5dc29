"""The time of a step and nothing else, as soon as it can be had: nothing is learnt, counted or compared with."""

import functools
import math

from mpcore.device.profiler import profiled
from mpcore.measure.injected_delay import DelayedStep, wait_of
from mpcore.measure.memory import free_everything
from mpcore.measure.setup import TimingSetup
from mpcore.measure.timing import TimedStep, interleave
from mpcore.records import Timing


def measure_time(setup: TimingSetup, *, profile: bool = False, slowdown: float = 1.0) -> Timing:
    """profile: whether the record holds the kernels of a step, too. slowdown: how many times longer a step is made to take."""
    free_everything()
    step = setup.build()
    own = setup.timed(step)
    if slowdown > 1:
        own = _delayed(own, setup, slowdown)
    dropped = interleave([own], math.inf, setup.sampler)
    return Timing(
        **setup.fields,
        blocks=own.blocks,
        pool_bytes=step.pool_bytes,
        dropped_blocks=dropped,
        profile=profiled(functools.partial(own.step, own.batches[0]), setup.device) if profile else None,
    )


def _delayed(own: TimedStep, setup: TimingSetup, slowdown: float) -> TimedStep:
    """The same step, which waits after each call for as much longer as it is to take."""
    interleave([own], math.inf, setup.sampler)
    wait = wait_of((slowdown - 1) * own.blocks.step_seconds, setup.device)
    return TimedStep(DelayedStep(own.step, wait), own.batches)
