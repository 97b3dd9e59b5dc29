"""The kernels of a step, by torch.profiler: on a GPU what runs there, on a CPU the operations."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from mpcore.device import agreement
from mpcore.device.machine import synchronise
from mpcore.kernels.intervals import Span, covered, within
from mpcore.kernels.profile import profile_of
from mpcore.records import Profile, RankTime

STEPS = 3
OF_COLLECTIVES = "nccl"
"""What the names of NCCL's kernels begin with. Their ends name what was compiled, not what ran (nccl#2196)."""


def profiled(step: Callable[[], object], device: torch.device) -> Profile:
    """Of `step`, called `STEPS` times."""
    return _profile(_events(step, device), device)


def profiled_rank(step: Callable[[], object], device: torch.device) -> tuple[Profile, RankTime]:
    """The same of one rank of a step that is spread, and where it is during a step."""
    events = _events(step, device, together=True)
    if device.type != "cuda":
        return _profile(events, device), RankTime(compute=_thread_seconds(step))
    kernels = [(event.name, event.time_range.start / 1e6, event.time_range.end / 1e6) for event in events]
    return _profile(events, device), rank_time(kernels, STEPS)


def rank_time(kernels: Iterable[tuple[str, float, float]], steps: int) -> RankTime:
    """Of kernels with their begin and end in seconds, of so many steps."""
    computing: list[Span] = []
    sending: list[Span] = []
    for name, begin, end in kernels:
        (sending if name.lower().startswith(OF_COLLECTIVES) else computing).append((begin, end))
    communication = covered(sending)
    exposed = max(0.0, communication - within(sending, computing))
    return RankTime(compute=covered(computing) / steps, communication=communication / steps, exposed=exposed / steps)


def _events(step: Callable[[], object], device: torch.device, *, together: bool = False) -> Sequence[Any]:
    """together: on GPUs ranks begin once all of them record, or the first would wait in a collective. What a CPU does for that
    would be recorded."""
    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity], acc_events=True) as recorded:
        if together and on_gpu:
            agreement.wait_for_all()
        for _ in range(STEPS):
            step()
        synchronise(device)
    # what the host calls to launch kernels is told, too, and what somebody has called the time that several of them take
    return [event for event in recorded.events() if not on_gpu or (_on_gpu(event) and not _is_a_name(event))]


def _on_gpu(event: Any) -> bool:
    return bool(event.device_type.name == "CUDA")


def _is_a_name(event: Any) -> bool:
    """Such as "Optimizer.step#AdamW.step"."""
    return bool(getattr(event, "is_user_annotation", False))


def _profile(events: Sequence[Any], device: torch.device) -> Profile:
    launches: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for event in events:
        microseconds = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        count, seconds = launches[event.name]
        launches[event.name] = count + 1 / STEPS, seconds + microseconds / 1e6 / STEPS
    return profile_of(launches)


def _thread_seconds(step: Callable[[], object]) -> float:
    """What a CPU gives this thread for a step: waits for other ranks are none of it. The least of `STEPS`."""
    found = []
    for _ in range(STEPS):
        begin = time.thread_time()
        step()
        found.append(time.thread_time() - begin)
    return min(found)
