"""Whole trainings, and what they reached."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence

from PIL.Image import fromarray

from mpcore.data import Split
from mpcore.data.source import resolved
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import Setup
from mpcore.precision import Inapplicable
from mpcore.records import Quality, Scores, Training
from mpcore.strategies import strategies
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import Diverged, Progress, fit
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads.checked import check_last_batch, checked_picture, dummy_score

CURVE_POINTS = 100
"""Points that a loss curve is stored with, at most."""


def measure_accuracy(
    setup: Setup,
    seeds: Sequence[int],
    splits: Mapping[str, Split],
    reference: Scores | None = None,
    progress: Callable[[str], Progress] | None = None,
    plant: Callable[[WorkloadStep], None] = lambda step: None,
) -> Quality:
    """Trains once from each seed, by the recipe, and tests. Where the step is spread its ranks share each batch.

    reference: what FP32 reached, None for FP32 itself, which is its own. progress: makes the reporter of one training from its
    title. plant: gives each new step a fault that is to be seen. Raises Diverged, unless the mode is a negative control: its
    divergence is recorded.
    """
    warm_up(setup.train_step(), splits)
    trainings: list[Training] = []
    picture: str | None = None
    step: WorkloadStep | None
    for number, seed in enumerate(seeds, 1):
        step = None  # or it would stand beside the next
        free_memory()
        step = setup.of_seed(seed).train_step()
        plant(step)
        reporter = progress(f"{setup.case.id}, training {number} of {len(seeds)}") if progress else None
        trainings.append(_train(setup, step, splits, seed, reporter))
        if number == 1:
            picture = _picture(step, splits["test"])
    workload = setup.modelled
    quality = Quality(
        **setup.fields,
        weights=resolved(workload.checkpoint) if workload.checkpoint else "random",
        data=workload.source.name,
        rows={name: len(split) for name, split in splits.items()},
        metric=workload.metric,
        lower_is_better=workload.lower_is_better,
        reference=reference,
        dummy_score=dummy_score(workload),
        trainings=tuple(trainings),
        picture=picture,
    )
    return quality if reference else quality.model_copy(update={"reference": quality.scores})


def joined(rounds: Sequence[Quality]) -> Quality:
    """One record of trainings of a mode from other seeds each, with all that they are compared with."""
    first = rounds[0]
    references = [each.reference for each in rounds if each.reference]
    scores = {seed: score for each in references for seed, score in each.by_seed.items()}
    reference = references[0].model_copy(update={"by_seed": scores}) if references else None
    trainings = tuple(training for each in rounds for training in each.trainings)
    return first.model_copy(update={"trainings": trainings, "reference": reference})


def check_shared(setup: Setup) -> None:
    """Raises Inapplicable where ranks cannot share a batch alike, and WorkloadError where one row of the last is too few."""
    size = setup.modelled.recipe.batch_size
    if size % setup.case.gpus:
        raise Inapplicable(f"a batch of {size} samples cannot be shared by {setup.case.gpus} GPUs alike")
    if not strategies[setup.case.strategy].mixes:  # or each statistic is of the rows of all
        check_last_batch(setup.modelled, setup.case.gpus)


def warm_up(step: WorkloadStep, splits: Mapping[str, Split]) -> None:
    """Loads every kernel once, so that the first training is timed like the others; its step is thrown away."""
    size = step.workload.recipe.batch_size
    for _ in range(2):
        step(step.share(splits["train"].rows(slice(size))))
    evaluate(step, splits["test"])


def _train(setup: Setup, step: WorkloadStep, splits: Mapping[str, Split], seed: int, progress: Progress | None) -> Training:
    try:
        trained = fit(step, splits["train"], splits["test"], seed=seed, progress=progress)
    except Diverged as diverged:
        if not setup.requirements.negative_control:
            raise
        trained = diverged.fit
    tested = evaluate(step, splits["test"])
    per_point = max(1, math.ceil(len(trained.losses) / CURVE_POINTS))
    return Training(
        seed=seed,
        steps=len(trained.losses),
        train_seconds=trained.seconds,
        evaluation_seconds=tested.seconds,
        metrics={**tested.metrics},
        epochs=tuple({**test.metrics} for test in trained.tests),
        confusion=tested.confusion,
        steps_per_point=per_point,
        losses=means(trained.losses, per_point),
        loss_scales=means(trained.loss_scales, per_point) if step.loss_scale is not None else (),
        skipped_steps=trained.skipped_steps,
        diverged=trained.diverged,
    )


def _picture(step: WorkloadStep, split: Split) -> str | None:
    """A PNG as base64, of the first sample of `split`."""
    batch = next(split.batches(step.workload.recipe.batch_size))
    step.model.eval()
    grey = checked_picture(step.workload, batch, step.predict(batch))
    step.train_mode()
    if grey is None:
        return None
    file = io.BytesIO()
    fromarray(grey.cpu().numpy()).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def means(curve: Sequence[float], per_point: int) -> tuple[float, ...]:
    """Of each `per_point` entries; the last of what is left."""
    parts = (curve[i : i + per_point] for i in range(0, len(curve), per_point))
    return tuple(sum(part) / len(part) for part in parts)
