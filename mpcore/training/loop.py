"""A whole training, by the workload's recipe.

Nothing here waits for the device inside a step. Losses and scales are written into buffers on the device, which the host
reads every `WINDOW` steps; a loss that is not finite, or a scale that has collapsed, is found there and named with its step.
"""

import time
from collections.abc import Callable

import torch

from mpcore.data import Split
from mpcore.device.machine import synchronise
from mpcore.training.base import needs
from mpcore.training.evaluation import Evaluation, evaluate
from mpcore.training.history import Fit, History
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads.checked import checked_batch

WINDOW = 50
"""Steps, after which the host reads the buffers: a training that came to nothing runs on for as many at most."""

Progress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the last loss."""


class Diverged(RuntimeError):
    """A training that came to nothing. `fit` holds what was recorded until then."""

    def __init__(self, fit: Fit) -> None:
        assert fit.diverged is not None
        super().__init__(f"diverged at step {fit.diverged.step}: {fit.diverged.reason}")
        self.fit = fit


def fit(step: WorkloadStep, split: Split, test: Split | None = None, *, seed: int = 0, progress: Progress | None = None) -> Fit:
    """Trains by the workload's recipe in an order that `seed` decides, and tests on `test` after each epoch where the recipe
    asks for that. Raises Diverged, and Inapplicable for a step whose rate cannot be set.

    Time is wall time between two synchronisations of the device.
    """
    needs(step, "rate")
    recipe = step.workload.recipe
    per_epoch = recipe.steps_per_epoch(len(split))
    steps = recipe.epochs * per_epoch
    history = History(steps, step)
    generator = torch.Generator(step.device).manual_seed(seed)
    tests: list[Evaluation] = []
    diverged = None
    step.train_mode()
    synchronise(step.device)
    start = time.perf_counter()
    epochs = (split.shuffled(recipe.batch_size, seed, n, drop_last=recipe.drop_last) for n in range(recipe.epochs))
    batches = (batch for epoch in epochs for batch in epoch)
    for done, batch in enumerate(batches, 1):
        step.set_rate(step.schedule(done, steps))
        history.append(step(checked_batch(step.workload, batch, generator)))
        if done % WINDOW == 0 or done == steps:
            diverged = history.check()
            if progress:
                progress(done, steps, history.losses[done - 1].item())
            if diverged:
                break
        if recipe.test_each_epoch and test is not None and done % per_epoch == 0:
            synchronise(step.device)
            paused = time.perf_counter()
            tests.append(evaluate(step, test))
            start += time.perf_counter() - paused
    synchronise(step.device)
    result = history.result(time.perf_counter() - start, diverged, tests)
    if diverged:
        raise Diverged(result)
    return result
