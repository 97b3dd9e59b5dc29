"""What trainings reached."""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mpcore.records.base import Finite, Record, Seconds
from mpcore.records.measurement import Measurement
from mpcore.records.sensitivity import Sensitivity

Confusion = tuple[tuple[int, ...], ...]
"""Counts; rows are the true classes, columns the predicted ones."""


OWN_DATA = "its own"
"""Where an own step brings its data."""


class Divergence(Record):
    """A training that came to nothing; `step` counts from 1."""

    step: PositiveInt
    reason: str


class Training(Record):
    """One training to the end of its recipe, from one seed. Curves hold the mean of every `steps_per_point` steps. `epochs`:
    the metrics after each epoch, where the recipe asks for them; the last are `metrics`. train_seconds are without tests."""

    seed: int
    steps: NonNegativeInt
    train_seconds: Seconds
    evaluation_seconds: Seconds
    metrics: dict[str, Finite]
    epochs: tuple[dict[str, Finite], ...] = ()
    confusion: Confusion | None
    steps_per_point: PositiveInt
    losses: tuple[Finite, ...]
    loss_scales: tuple[Finite, ...]
    skipped_steps: NonNegativeInt
    diverged: Divergence | None


class Scores(Record):
    """What trainings of a mode reached on so many GPUs, in the metric that counts, by seed; None where it is no finite
    number."""

    precision: str
    gpus: PositiveInt = 1
    by_seed: dict[int, Finite]

    @property
    def called(self) -> str:
        """In a sentence on a training on several GPUs."""
        return f"{self.precision} on {'one GPU' if self.gpus == 1 else f'{self.gpus} GPUs'}"

    @property
    def mean(self) -> float:
        """NaN where one of them is no finite number."""
        return statistics.fmean(math.nan if value is None else value for value in self.by_seed.values())


class Quality(Measurement):
    """What trainings from several seeds reached.

    metric: the figure that counts, in 0 to 1 and the higher the better, or, where `lower_is_better`, above 0. reference: what
    FP32 reached from the same seeds over the same order. dummy_score: what a prediction that has learnt nothing reaches, None
    where the workload knows none. picture: a PNG, as base64, of what the first training predicts for one sample. sensitivity:
    whether a loss would be seen, where that was tried.
    """

    kind: Literal["accuracy"] = "accuracy"
    weights: str
    data: str
    rows: dict[str, PositiveInt]
    metric: str
    lower_is_better: bool = False
    reference: Scores | None = None
    dummy_score: Finite = None
    trainings: Annotated[tuple[Training, ...], Field(min_length=1)]
    picture: str | None = None
    sensitivity: Sensitivity | None = None

    @model_validator(mode="after")
    def _counts(self) -> "Quality":
        """The metric that counts is in each training, and each has a seed of its own. Only an own step has nothing to test."""
        splits = {"train"} if self.data == OWN_DATA else {"train", "test"}
        if missing := splits - self.rows.keys():
            raise ValueError(f"rows: expected those to {' and to '.join(sorted(missing))} among them")
        for number, training in enumerate(self.trainings, 1):
            if self.metric not in training.metrics:
                has = ", ".join(training.metrics) or "no metrics"
                raise ValueError(f"training {number} has {has}: expected {self.metric!r} among them")
            value = training.metrics[self.metric]
            if value is not None and not (value > 0 if self.lower_is_better else value <= 1):
                expected = "a value above 0" if self.lower_is_better else "a share, at most 1"
                raise ValueError(f"{self.metric} of training {number} is {value:g}: expected {expected}")
            if training.confusion is not None and {len(row) for row in training.confusion} != {len(training.confusion)}:
                raise ValueError(f"the confusion matrix of training {number}: expected as many columns as rows")
        seeds = [training.seed for training in self.trainings]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"trainings from seeds {', '.join(map(str, seeds))}: expected each of them once")
        return self

    @property
    def terms(self) -> dict[str, object]:
        rows = {f"rows to {split}": f"{number:,}" for split, number in self.rows.items()}
        own = {"data": self.data, **rows, "weights": self.weights, "metric": self.metric}
        return super().terms | own

    @property
    def scores(self) -> Scores:
        by_seed = {t.seed: t.metrics[self.metric] for t in self.trainings}
        return Scores(precision=self.case.precision, gpus=self.case.gpus, by_seed=by_seed)

    def values(self, metric: str) -> list[float]:
        """One for each training, NaN where it was not finite."""
        return [math.nan if (value := t.metrics[metric]) is None else value for t in self.trainings]

    def mean(self, metric: str) -> float:
        return statistics.fmean(self.values(metric))

    def gains(self, others: Sequence[Scores]) -> list[float]:
        """For each seed that all have, by how many points its training is better than theirs are on average: see
        `points_above`. Same seed, same order of the data."""
        scale = math.log if self.lower_is_better else float
        ours, *theirs = (
            {seed: math.nan if value is None else value for seed, value in scores.by_seed.items()}
            for scores in (self.scores, *others)
        )
        common = [seed for seed in ours if all(seed in scores for scores in theirs)]
        sign = -1 if self.lower_is_better else 1
        return [sign * 100 * (scale(ours[s]) - statistics.fmean(scale(scores[s]) for scores in theirs)) for s in common]

    @property
    def points(self) -> float | None:
        """How much better than its reference on average; None where it has none."""
        return None if self.reference is None else self.points_above(self.reference.mean)

    def points_above(self, theirs: float) -> float:
        """How much better than `theirs` on average, in percentage points of the metric. Where lower is better, in per cent of
        it, as 100 ln(theirs / ours)."""
        ours = self.mean(self.metric)
        return 100 * (math.log(theirs / ours) if self.lower_is_better else ours - theirs)

    @property
    def train_seconds(self) -> float:
        return statistics.median(t.train_seconds for t in self.trainings)

    @property
    def evaluation_seconds(self) -> float:
        return statistics.median(t.evaluation_seconds for t in self.trainings)

    @property
    def diverged(self) -> bool:
        return any(t.diverged for t in self.trainings)
