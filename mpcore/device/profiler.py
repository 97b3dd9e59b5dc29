"""The kernels of a step, by torch.profiler: on a GPU what runs there, on a CPU the operations."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from mpcore.device.machine import synchronise
from mpcore.kernels.profile import profile_of
from mpcore.records import Profile

STEPS = 3


def profiled(step: Callable[[], object], device: torch.device) -> Profile:
    """Of `step`, called `STEPS` times."""
    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity], acc_events=True) as recorded:
        for _ in range(STEPS):
            step()
        synchronise(device)
    launches: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for event in recorded.events():
        if on_gpu and event.device_type.name != "CUDA":  # what the host calls to launch them is told, too
            continue
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        count, seconds = launches[event.name]
        launches[event.name] = count + 1 / STEPS, seconds + microseconds / 1e6 / STEPS
    return profile_of(launches)
