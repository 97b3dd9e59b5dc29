"""Whether a step learns: a step that is fast because it does nothing is found out."""

import statistics
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from mpcore.device import agreement
from mpcore.gate.limits import has_learnt
from mpcore.training.base import Step

LEARNING_STEPS, LEAST_STEPS = 100, 15
"""At most, and at least where the loss has fallen as far as it must."""
EDGE = 5
"""Losses before and at the end of the learning steps, that are averaged."""


def learning_losses(step: Step, batches: Sequence[Any], share: float) -> list[float]:
    """share: that the loss must fall by.

    First of steps at learning rate 0, then of learning steps. These begin as a training does: with an optimiser that
    remembers nothing, and a rate that rises and falls. At a constant rate BERT swings up before it learns, and an end below
    that is not learnt. After many gradients from the same place Adam moves as far. Of ranks the mean of their losses."""
    losses: list[float] = []
    for number, batch in enumerate(islice(cycle(batches), EDGE + LEARNING_STEPS), 1):
        if number == EDGE + 1:
            step.forget()
        step.set_rate(step.schedule(number - EDGE, LEARNING_STEPS) if number > EDGE else 0.0)
        losses.append(agreement.mean(step(batch).item()))
        if number >= EDGE + LEAST_STEPS and has_learnt(
            statistics.fmean(losses[:EDGE]), statistics.fmean(losses[-EDGE:]), share
        ):
            break
    return losses
