"""What the ranks of a step agree on: one process each, whose hosts talk over gloo, beside what their devices talk by.

Where a step is not spread, each function returns what it is given. A value that a rank decides by must be one that all have. A
rank that makes one step more than the others waits in its collectives for ever.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")
FOR_EVER = timedelta(days=30)
"""Who started the ranks has the deadlines."""
ANOTHER_RANK = "another rank"
"""What a rank says that fails for what has failed elsewhere: whose own sentence tells more."""
OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")
"""Variables by which libraries find out that they are on several ranks."""
_group: Any = None
_arrivals: Any = None
"""A group for nothing else: who waits there stands in no collective."""
_store: Any = None
"""Where a rank leaves word, and looks for that of others, without waiting for them."""
LOOKS_EVERY_SECONDS = 0.005


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Within it the ranks that torchrun has started are one group: over NCCL between GPUs, over gloo between CPUs. Is left in
    order only: where a rank fails the others may wait for it, and it must end at once."""
    global _group, _arrivals, _store
    on_gpus = device.type == "cuda"
    options: dict[str, Any] = {"device_id": device} if on_gpus else {}  # which makes the communicator now, not in a capture
    options |= {"store": _met(), "rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
    distributed.init_process_group("nccl" if on_gpus else "gloo", timeout=FOR_EVER, **options)
    _group, _arrivals = (distributed.new_group(backend="gloo", timeout=FOR_EVER) for _ in range(2))
    yield
    _group = _arrivals = _store = None
    distributed.destroy_process_group()


def handed_on(about: str, value: str) -> str:
    """`value` of rank 0, on each rank. They need no group for that, and touch no device. Waits for rank 0."""
    store = _met()
    if os.environ["RANK"] == "0":
        store.set(about, value)
    return store.get(about).decode()


def _met() -> Any:
    """The store of the ranks that torchrun has started."""
    global _store
    if _store is None:
        _store, _, _ = next(rendezvous("env://", timeout=FOR_EVER))
        _store.set_timeout(FOR_EVER)  # as a group sets that of a store of its own: some ranks come much later
    return _store


@contextmanager
def alone() -> Iterator[None]:
    """Within it nothing in the environment tells a library that torchrun has started this process, perhaps beside others."""
    hidden = {name: os.environ.pop(name) for name in OF_TORCHRUN if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def started() -> int:
    """How many ranks torchrun has started, of whom this process is one; 0 where it is none. Others set WORLD_SIZE alone, which
    says nothing."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else 0


def ranks() -> int:
    """How many ranks a step is spread over."""
    return 1 if _group is None else distributed.get_world_size(_group)


def rank() -> int:
    return 0 if _group is None else distributed.get_rank(_group)


def local_rank() -> int:
    """The number of this rank among those on this host, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_ranks() -> int:
    """How many there are on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def gathered(value: T) -> list[T]:
    """The value of each rank."""
    if ranks() == 1:
        return [value]
    values: list[Any] = [None] * ranks()
    distributed.all_gather_object(values, value, group=_group)
    return values


def broadcast(value: T) -> T:
    """The value of rank 0."""
    if ranks() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0, group=_group)
    return values[0]


def largest(value: float) -> float:
    """The largest of all ranks."""
    return _reduced(value, distributed.ReduceOp.MAX)


def mean(value: float) -> float:
    return _reduced(value, distributed.ReduceOp.SUM) / ranks()


def means(values: Tensor) -> Tensor:
    """The mean of each over ranks, which waits for the device."""
    numbers = values.to("cpu", torch.float64)
    if ranks() > 1:
        distributed.all_reduce(numbers, group=_group)
    return (numbers / ranks()).to(values)


def any_rank(said: bool) -> bool:
    """Whether any rank says so."""
    return largest(float(said)) > 0


def leave_word(about: str, word: str) -> None:
    """For other ranks, in the place of the last about the same. Nobody waits for anybody."""
    if ranks() > 1:
        _store.set(f"{about}/{rank()}", word)


def words(about: str, seconds: float = 0.0) -> dict[int, str]:
    """By rank, what was left about it until all have, or so many seconds are over."""
    keys, end = {number: f"{about}/{number}" for number in range(ranks())}, time.monotonic() + seconds
    while not _store.check([*keys.values()]) and time.monotonic() < end:
        time.sleep(LOOKS_EVERY_SECONDS)
    return {number: _store.get(key).decode() for number, key in keys.items() if _store.check([key])}


def wait_for_all() -> None:
    """Until all ranks have come here."""
    largest(0.0)


def meet() -> None:
    """Until all ranks have come here, from wherever in a case they were."""
    if ranks() > 1:
        distributed.barrier(_arrivals)


def _reduced(value: float, operation: Any) -> float:
    if ranks() == 1:
        return value
    number = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(number, operation, group=_group)
    return number.item()
