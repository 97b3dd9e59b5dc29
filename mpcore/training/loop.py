"""A whole training, by the workload's recipe.

Nothing here waits for the device inside a step. Losses and scales are written into buffers on the device, which the host reads
every `WINDOW` steps. A loss that is not finite, or a scale that has collapsed, is found there and named with its step.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from mpcore.data import Split
from mpcore.device.machine import synchronise
from mpcore.records import Divergence
from mpcore.training.base import needs
from mpcore.training.evaluation import Evaluation, evaluate
from mpcore.training.history import Fit, History
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads.checked import checked_batch

WINDOW = 50
"""Steps, after which the host reads the buffers: a training that came to nothing runs on for as many at most."""

Progress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the last loss: after the first step, which tells how long they take, after
each `WINDOW`, and at the end."""


class Diverged(RuntimeError):
    """A training that came to nothing. `fit` holds what was recorded until then."""

    def __init__(self, fit: Fit) -> None:
        assert fit.diverged is not None
        super().__init__(f"diverged at step {fit.diverged.step}: {fit.diverged.reason}")
        self.fit = fit


def record(losses: Iterable[Tensor], history: History, steps: int, progress: Progress | None = None) -> Divergence | None:
    """Writes the losses of `steps` steps down as they are made, and looks at the first and at them every `WINDOW`. It goes on
    to their end, or to where they come to nothing, which is returned."""
    for done, loss in enumerate(losses, 1):
        history.append(loss)
        if done % WINDOW and done not in (1, steps):
            continue
        diverged = history.check()
        if progress:
            progress(done, steps, history.losses[done - 1].item())
        if diverged:
            return diverged
    return None


def fit(step: WorkloadStep, split: Split, test: Split | None = None, *, seed: int = 0, progress: Progress | None = None) -> Fit:
    """Trains by the workload's recipe in an order that `seed` decides, and tests on `test` after each epoch where the recipe
    asks for that. Raises Diverged, and Inapplicable for a step whose rate cannot be set.

    Time is wall time between two synchronisations of the device.
    """
    needs(step, "rate")
    steps = step.workload.recipe.epochs * step.workload.recipe.steps_per_epoch(len(split))
    history, tests = History(steps, step), _Tests(step, test if step.workload.recipe.test_each_epoch else None)
    step.train_mode()
    synchronise(step.device)
    start = time.perf_counter()
    diverged = record(_losses(step, split, steps, seed, tests), history, steps, progress)
    synchronise(step.device)
    result = history.result(time.perf_counter() - start - tests.seconds, diverged, tests.found)
    if diverged:
        raise Diverged(result)
    return result


def _losses(step: WorkloadStep, split: Split, steps: int, seed: int, tests: "_Tests") -> Iterator[Tensor]:
    recipe, numbers = step.workload.recipe, itertools.count(1)
    generator = torch.Generator(step.device).manual_seed(seed)
    for epoch in range(recipe.epochs):
        for batch in split.shuffled(recipe.batch_size, seed, epoch, drop_last=recipe.drop_last):
            step.set_rate(step.schedule(next(numbers), steps))
            yield step(step.share(checked_batch(step.workload, batch, generator)))
        tests.run()


class _Tests:
    """Of `step` on `test`, if there is one: what was `found`, and the `seconds` that they took."""

    def __init__(self, step: WorkloadStep, test: Split | None) -> None:
        self.found: list[Evaluation] = []
        self.seconds = 0.0
        self._step = step
        self._test = test

    def run(self) -> None:
        if self._test is None:
            return
        synchronise(self._step.device)
        start = time.perf_counter()
        self.found.append(evaluate(self._step, self._test))
        self.seconds += time.perf_counter() - start
