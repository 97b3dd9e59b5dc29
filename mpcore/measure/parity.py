"""Our step against other trainers' steps, in turns; and a whole fine-tuning against transformers' Trainer."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mpcore.data import Split
from mpcore.hardware import synchronise
from mpcore.measure.about import about
from mpcore.measure.speed import Stand, free_memory
from mpcore.measure.timing import Contestant, take_turns
from mpcore.precision import Precision
from mpcore.records import Blocks, Case, Parity
from mpcore.rivals import Rival, Trainer
from mpcore.train import TrainStep, evaluate, fit

SEEDS = (0, 1, 2)


def step_parity(stand: Stand, mode: Precision, rival: type[Rival]) -> Parity:
    """In blocks that take turns, A B B A, at learning rate 0. `mode` is that of the case, for its process-wide settings."""
    free_memory()
    ours = stand.contestant(stand.case.precision)
    workload = ours.step.workload  # type: ignore[attr-defined]  # a TrainStep has one
    theirs = Contestant(rival(workload, stand.case.precision, stand.device, seed=stand.case.seed), stand.batches)
    with mode.settings():
        dropped = take_turns([ours, theirs], stand.target, stand.watch)
    return Parity(
        **about(stand.case, workload, stand.device),
        rival=rival.name,
        rival_version=rival.version(),
        ours=ours.blocks,
        theirs=theirs.blocks,
        dropped_blocks=dropped,
    )


def training_parity(
    case: Case, build: Callable[[Case], TrainStep], splits: dict[str, Split], mode: Precision, rival: type[Trainer]
) -> Parity:
    """The whole recipe, once from each of `SEEDS`, the other trainer first every other time; the scores are means."""
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for seed in SEEDS:
        seeded = case.model_copy(update={"seed": seed})
        for name in ("ours", "theirs") if seed % 2 == 0 else ("theirs", "ours"):
            free_memory()
            train = _ours if name == "ours" else partial(_theirs, mode=mode, rival=rival)
            runs[name].append(train(seeded, build, splits))
    step = build(case)
    recipe = step.workload.recipe
    steps = recipe.epochs * -(-len(splits["train"]) // recipe.batch_size)
    blocks: Any = {name: Blocks(steps=steps, seconds=tuple(s for s, _ in found)) for name, found in runs.items()}
    return Parity(
        **about(case, step.workload, step.device),
        rival=rival.name,
        rival_version=rival.version(),
        **blocks,
        scores={name: statistics.fmean(score for _, score in found) for name, found in runs.items()},
    )


def _ours(case: Case, build: Callable[[Case], TrainStep], splits: dict[str, Split]) -> tuple[float, float]:
    """Seconds and score."""
    step = build(case)
    trained = fit(step, splits["train"], seed=case.seed)
    return trained.seconds, evaluate(step, splits["test"]).metrics[step.workload.metric]


def _theirs(
    case: Case, build: Callable[[Case], TrainStep], splits: dict[str, Split], *, mode: Precision, rival: type[Trainer]
) -> tuple[float, float]:
    step = build(case)
    workload, device = step.workload, step.device
    del step  # for its workload only
    trainer = rival(workload, case.precision, device, splits["train"], seed=case.seed)
    with mode.settings():
        synchronise(device)
        start = time.perf_counter()
        trainer.train()
        synchronise(device)
        return time.perf_counter() - start, trainer.score(splits["test"])
