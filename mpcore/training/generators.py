"""The generators of random numbers that a model may draw from: those of torch, NumPy and Python."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from mpcore.device import agreement


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def draw_apart(seed: int) -> None:
    """From now on each rank draws other random numbers: or dropout would leave out the same on all."""
    if agreement.rank():
        seed_everything(seed + agreement.rank())


def generators(device: torch.device) -> dict[str, Any]:
    """Where they stand, of what torch.load takes from a file that nobody trusts."""
    name, keys, *rest = np.random.get_state(legacy=True)
    state = {
        "cpu": torch.get_rng_state(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_generators(state: dict[str, Any], device: torch.device) -> None:
    """They go on from there."""
    name, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """What is drawn after it is what would be drawn without it."""
    state = generators(device)
    try:
        yield
    finally:
        set_generators(state, device)
