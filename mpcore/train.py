"""Training: `TrainStep` binds a workload to a precision, `fit` trains, `evaluate` scores.

Nothing here waits for the device inside a step. Losses and scales are written into buffers on the device, which the host
reads every `WINDOW` steps; a loss that is not finite, or a scale that has collapsed, is found there and named with its step.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpcore.data import Batch, Split
from mpcore.execution import Eager
from mpcore.hardware import synchronise
from mpcore.precision import Precision, PrecisionError
from mpcore.records import Confusion, Divergence
from mpcore.registry import executions
from mpcore.workloads import Workload

WINDOW = 50
EVALUATION_BATCHES = 4
"""Evaluation keeps no activations: its batches are this many times those of the training."""

Progress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the last loss."""


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class TrainStep:
    """One training step of `workload` in `precision`: batch in, loss out (0-dim, on the device, not waited for).

    The model is built from `seed`. With `accumulate` = n, a batch goes through in n parts whose gradients are added
    up to those of the whole batch. The precision's process-wide settings hold inside a call and nowhere else. A step that
    was captured writes its loss, and its predictions, to the same place at every call: what is to be kept is copied.
    """

    def __init__(
        self,
        workload: Workload,
        precision: Precision,
        device: torch.device,
        *,
        seed: int = 0,
        execution: str = Eager.name,
        accumulate: int = 1,
        dropout: bool = True,
    ) -> None:
        self.workload = workload
        self.precision = precision
        self.device = device
        self.accumulate = accumulate
        seed_everything(seed)
        with torch.device(device):
            model = workload.checked_model()
        self.dropout = dropout
        self.model = model.to(device)
        self.train_mode()
        self._prepare(precision, workload)
        how = executions[execution]
        how.prepare(self.model)
        self._execute = how(self._step, self.model)
        self._execute_prediction = how(self._predict, self.model)

    def _prepare(self, precision: Precision, workload: Workload) -> None:
        with precision.telling("prepare"):
            precision.prepare(self.model, workload.recipe)
        if not isinstance(getattr(precision, "optimiser", None), torch.optim.Optimizer) or not hasattr(precision, "model"):
            missing = "a model, and an optimiser of torch.optim"
            raise PrecisionError(f"{precision.name}: prepare() did not set {missing}: expected it to call super().prepare()")

    def train_mode(self) -> None:
        self.model.train()
        if not self.dropout:
            disable_dropout(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        with self.precision.settings():
            return self._execute(batch)

    def launch(self, batch: Batch) -> Tensor:
        """The same step, launched by Python one operation after the other."""
        with self.precision.settings():
            return self._step(batch)

    def predict(self, batch: Batch) -> Tensor:
        with self.precision.settings():
            return self._execute_prediction(batch)

    def set_learning_rate(self, learning_rate: float) -> None:
        self.precision.set_learning_rate(learning_rate)

    @property
    def captured(self) -> bool:
        """Whether the host only starts a graph, and has nothing to do while the device works."""
        return self._execute.captured

    @property
    def pool_bytes(self) -> int | None:
        """Device memory that the captured step holds, beside weights and optimiser; None where it is not captured."""
        return self._execute.pool_bytes

    def _predict(self, batch: Batch) -> Tensor:
        with torch.no_grad(), self.precision.forward():
            return self.workload.checked_prediction(self.model, batch)

    def _step(self, batch: Batch) -> Tensor:
        total: Tensor | None = None
        for part, share in self._parts(batch):
            with self.precision.forward():
                loss = self.workload.checked_loss(self.model, part) * share
            with self.precision.telling("backward"):
                self.precision.backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        with self.precision.telling("update"):
            self.precision.update()
        assert total is not None  # a batch has at least one part
        return total

    def _parts(self, batch: Batch) -> list[tuple[Batch, float]]:
        """The batch in `accumulate` parts, fewer where it has fewer samples, each with its share of the samples."""
        rows = len(next(iter(batch.values())))
        size = -(-rows // self.accumulate)
        parts = Split(batch).batches(size)
        return [(part, len(next(iter(part.values()))) / rows) for part in parts]


def disable_dropout(model: nn.Module) -> None:
    """Evaluation mode, which every kind of dropout obeys, but for BatchNorm, which goes on using the batch's statistics, and
    for recurrent layers, whose gradients cuDNN has in training mode only."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
        elif isinstance(module, nn.RNNBase):
            module.train()
            module.dropout = 0.0


@dataclass(frozen=True)
class Evaluation:
    """The workload's metrics; `seconds` of predicting, including the way back to the host."""

    seconds: float
    metrics: dict[str, float]
    confusion: Confusion | None


def evaluate(step: TrainStep, split: Split) -> Evaluation:
    """Predicts every sample of `split` and scores the predictions."""
    step.model.eval()
    synchronise(step.device)
    start = time.perf_counter()
    size = step.workload.recipe.batch_size * EVALUATION_BATCHES
    predicted = torch.cat([step.predict(batch).clone() for batch in split.batches(size)]).cpu()
    seconds = time.perf_counter() - start
    step.train_mode()
    truth = split.to(torch.device("cpu")).columns
    return Evaluation(seconds, *step.workload.checked_score(truth, predicted))


@dataclass(frozen=True)
class Fit:
    """What a training went through. One loss and one scale for each step done; NaN scales where there is none. `seconds`
    are without those of the tests, one for each epoch where the recipe asks for them."""

    seconds: float
    losses: list[float]
    loss_scales: list[float]
    skipped_steps: int
    diverged: Divergence | None
    tests: list[Evaluation]


class Diverged(RuntimeError):
    """A training that came to nothing. `fit` holds what was recorded until then."""

    def __init__(self, fit: Fit) -> None:
        assert fit.diverged is not None
        super().__init__(f"diverged at step {fit.diverged.step}: {fit.diverged.reason}")
        self.fit = fit


def schedule(step: int, steps: int) -> float:
    """The share of the learning rate for `step`, counted from 1: up in a line over the first tenth of the steps, then
    down in a line to zero (Devlin et al., "BERT", 2019). A training that ends at rest depends less on its seed."""
    warm_up = max(steps // 10, 1)
    return min(step / warm_up, (steps - step) / max(steps - warm_up, 1))


def fit(step: TrainStep, split: Split, test: Split | None = None, *, seed: int = 0, progress: Progress | None = None) -> Fit:
    """Trains by the workload's recipe in an order that `seed` decides, and tests on `test` after each epoch where the recipe
    asks for that. Raises Diverged.

    Time is wall time between two synchronisations of the device.
    """
    recipe = step.workload.recipe
    per_epoch = -(-len(split) // recipe.batch_size)
    steps = recipe.epochs * per_epoch
    history = _History(steps, step)
    generator = torch.Generator(step.device).manual_seed(seed)
    tests: list[Evaluation] = []
    diverged = None
    step.train_mode()
    synchronise(step.device)
    start = time.perf_counter()
    batches = (b for epoch in range(recipe.epochs) for b in split.shuffled(recipe.batch_size, seed, epoch))
    for done, batch in enumerate(batches, 1):
        step.precision.set_learning_rate(recipe.learning_rate * schedule(done, steps))
        history.append(step(step.workload.checked_batch(batch, generator)))
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


class _History:
    """Buffers on the device, one entry a step: losses, scales after the step, and the count of skipped steps."""

    def __init__(self, steps: int, step: TrainStep) -> None:
        self.precision = step.precision
        self.losses = torch.full((steps,), torch.nan, device=step.device)
        self.scales = torch.full((steps,), torch.nan, device=step.device)
        self.skips = torch.zeros(steps, device=step.device)
        self.done = self.checked = 0

    def append(self, loss: Tensor) -> None:
        self.losses[self.done].copy_(loss)
        if (scale := self.precision.loss_scale) is not None:
            self.scales[self.done].copy_(scale)
        if (skipped := self.precision.skipped) is not None:
            self.skips[self.done].copy_(skipped)
        self.done += 1

    def check(self) -> Divergence | None:
        """The first step since the last check at which the training came to nothing. Waits for the device."""
        window = slice(self.checked, self.done)
        losses, scales = self.losses[window].tolist(), self.scales[window].tolist()
        before = self.skips[self.checked - 1].item() if self.checked else 0.0
        skips = self.skips[window].tolist()
        first, self.checked = self.checked + 1, self.done
        for number, (loss, scale, skipped) in enumerate(zip(losses, scales, skips, strict=True), first):
            if not np.isfinite(loss):
                return Divergence(step=number, reason=f"the loss is {loss}")
            if skipped > before and scale <= 1:
                return Divergence(step=number, reason=f"the loss scale has collapsed to {scale:g} and gradients still overflow")
            before = skipped
        return None

    def result(self, seconds: float, diverged: Divergence | None, tests: list[Evaluation]) -> Fit:
        last = diverged.step if diverged else self.done
        return Fit(
            seconds=seconds,
            losses=self.losses[:last].tolist(),
            loss_scales=self.scales[:last].tolist(),
            skipped_steps=int(self.skips[last - 1].item()),
            diverged=diverged,
            tests=tests,
        )
