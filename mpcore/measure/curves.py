"""Trainings of an own step, which has no score: the losses of its precisions, from the same seeds over the same batches."""

import time
from collections.abc import Callable, Sequence
from itertools import islice

from mpcore.device.machine import synchronise
from mpcore.gate.limits import LAST_SHARE
from mpcore.measure.accuracy import CURVE_POINTS, means
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import Setup
from mpcore.precision import Inapplicable
from mpcore.records import Quality, Scores, Training
from mpcore.records.quality import OWN_DATA
from mpcore.training.history import Fit, History
from mpcore.training.loop import Diverged, Progress, record
from mpcore.training.script import ScriptStep
from mpcore.workloads import OwnStep

METRIC = "training loss"


def measure_curves(
    setup: Setup,
    seeds: Sequence[int],
    reference: Scores | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Quality:
    """Trains once from each seed, for as many steps as the own step asks for. One that sets a seed of its own is trained once.

    reference: what the first precision reached, None for itself. progress: makes the reporter of one training from its title.
    Raises Diverged, unless the mode is a negative control, WorkloadError, and Inapplicable where losses have no ratio.
    """
    own = setup.workload
    assert isinstance(own, OwnStep)
    trainings: list[Training] = []
    for number, seed in enumerate(seeds, 1):
        free_memory()
        reporter = progress(f"{setup.case.id}, training {number} of {len(seeds)}") if progress else None
        trained = _trained(setup.of_seed(seed), own.curve_steps, seed, reporter)
        if trainings and trained.losses == trainings[0].losses:
            break
        trainings.append(trained)
    quality = Quality(
        **setup.fields,
        weights="its own",
        data=OWN_DATA,
        rows={"train": own.curve_steps * own.rows_per_batch},
        metric=METRIC,
        lower_is_better=True,
        reference=reference,
        trainings=tuple(trainings),
    )
    return quality if reference else quality.model_copy(update={"reference": quality.scores})


def _trained(setup: Setup, steps: int, seed: int, progress: Progress | None) -> Training:
    step = setup.build()
    assert isinstance(step, ScriptStep)
    fit = _fit(step, steps, progress, must_end=not setup.requirements.negative_control)
    start = time.perf_counter()
    last = fit.losses[-max(1, round(LAST_SHARE * steps)) :]
    loss = sum(last) / len(last)
    if loss <= 0:
        reason = "losses are compared by their ratio, which takes those above 0"
        raise Inapplicable(f"its loss is {loss:.3g} after {steps} steps: {reason}")
    per_point = max(1, -(-len(fit.losses) // CURVE_POINTS))
    return Training(
        seed=seed,
        steps=len(fit.losses),
        train_seconds=fit.seconds,
        evaluation_seconds=time.perf_counter() - start,
        metrics={METRIC: loss},
        confusion=None,
        steps_per_point=per_point,
        losses=means(fit.losses, per_point),
        loss_scales=(),
        skipped_steps=fit.skipped_steps,
        diverged=fit.diverged,
    )


def _fit(step: ScriptStep, steps: int, progress: Progress | None, *, must_end: bool) -> Fit:
    history = History(steps, step)
    synchronise(step.device)
    start = time.perf_counter()
    diverged = record((step(batch) for batch in islice(step.endless_batches(), steps)), history, steps, progress)
    synchronise(step.device)
    fit = history.result(time.perf_counter() - start, diverged, [])
    if diverged and must_end:
        raise Diverged(fit)
    return fit
