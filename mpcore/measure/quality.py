"""Whole trainings, and what they reached."""

import base64
import io
import math
from collections.abc import Callable, Sequence

from PIL.Image import fromarray

from mpcore.data import Split
from mpcore.data.source import resolved
from mpcore.measure.about import about
from mpcore.measure.speed import free_memory
from mpcore.records import Case, Quality, Training
from mpcore.train import Diverged, Progress, TrainStep, evaluate, fit

POINTS = 100
"""Points that a loss curve is stored with, at most."""


def measure_quality(
    case: Case,
    seeds: Sequence[int],
    build: Callable[[Case], TrainStep],
    splits: dict[str, Split],
    progress: Callable[[str], Progress] | None = None,
) -> Quality:
    """Trains once from each seed, by the recipe, and tests. A training that diverges raises Diverged, unless the mode
    is a negative control, of which that is recorded. `progress` makes the reporter of one training from its title."""
    warm_up(build(case), splits)
    trainings: list[Training] = []
    picture: str | None = None
    step: TrainStep | None
    for number, seed in enumerate(seeds, 1):
        step = None  # or it would stand beside the next
        free_memory()
        step = build(case.model_copy(update={"seed": seed}))
        reporter = progress(f"{case.id}, training {number} of {len(seeds)}") if progress else None
        trainings.append(_train(step, splits, seed, reporter))
        if number == 1:
            picture = _picture(step, splits["test"])
    assert step is not None
    workload = step.workload
    return Quality(
        **about(case, workload, step.device),
        weights=resolved(workload.checkpoint) if workload.checkpoint else "random",
        data=workload.source.name,
        rows={name: len(split) for name, split in splits.items()},
        metric=workload.metric,
        lower_is_better=workload.lower_is_better,
        uninformed=workload.uninformed_score(),
        trainings=tuple(trainings),
        picture=picture,
    )


def warm_up(step: TrainStep, splits: dict[str, Split]) -> None:
    """Loads every kernel once, so that the first training is timed like the others; its step is thrown away."""
    size = step.workload.recipe.batch_size
    for _ in range(2):
        step(splits["train"].rows(slice(size)))
    evaluate(step, splits["test"])


def _train(step: TrainStep, splits: dict[str, Split], seed: int, progress: Progress | None) -> Training:
    try:
        trained = fit(step, splits["train"], splits["test"], seed=seed, progress=progress)
    except Diverged as diverged:
        if not step.precision.control:
            raise
        trained = diverged.fit
    tested = evaluate(step, splits["test"])
    per_point = max(1, math.ceil(len(trained.losses) / POINTS))
    return Training(
        seed=seed,
        steps=len(trained.losses),
        train_seconds=trained.seconds,
        evaluation_seconds=tested.seconds,
        metrics={**tested.metrics},
        epochs=tuple({**test.metrics} for test in trained.tests),
        confusion=tested.confusion,
        steps_per_point=per_point,
        losses=_means(trained.losses, per_point),
        loss_scales=_means(trained.loss_scales, per_point) if step.precision.loss_scale is not None else (),
        skipped_steps=trained.skipped_steps,
        diverged=trained.diverged,
    )


def _picture(step: TrainStep, split: Split) -> str | None:
    """A PNG as base64, of the first sample of `split`."""
    batch = next(split.batches(step.workload.recipe.batch_size))
    step.model.eval()
    grey = step.workload.checked_picture(batch, step.predict(batch))
    step.train_mode()
    if grey is None:
        return None
    file = io.BytesIO()
    fromarray(grey.cpu().numpy()).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _means(curve: Sequence[float], per_point: int) -> tuple[float, ...]:
    parts = (curve[i : i + per_point] for i in range(0, len(curve), per_point))
    return tuple(sum(part) / len(part) for part in parts)
