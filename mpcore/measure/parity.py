"""Our step against other trainers' steps, in turns; and a whole fine-tuning against transformers' Trainer."""

import statistics
import time
from collections.abc import Mapping

from mpcore.data import Split
from mpcore.device.machine import synchronise
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import Setup, TimingSetup
from mpcore.measure.timing import TimedStep, interleave
from mpcore.precision import precisions
from mpcore.records import Blocks, Parity
from mpcore.trainers import HuggingFace, StepTrainer
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit

SEEDS = (0, 1, 2)


def step_parity(setup: TimingSetup, trainer: type[StepTrainer]) -> Parity:
    """In blocks that take turns, A B B A, at learning rate 0, under the process-wide settings of the case's mode."""
    free_memory()
    case = setup.case
    ours = TimedStep(setup.build(), setup.batches)
    theirs = TimedStep(trainer(setup.modelled, case.precision, setup.device, seed=case.seed), setup.batches)
    with precisions[case.precision]().settings():
        dropped = interleave([ours, theirs], setup.target, setup.sampler)
    return Parity(
        **setup.fields,
        trainer=trainer.title,
        trainer_version=trainer.version(),
        ours=ours.blocks,
        theirs=theirs.blocks,
        dropped_blocks=dropped,
    )


def training_parity(setup: Setup, splits: Mapping[str, Split], trainer: type[HuggingFace]) -> Parity:
    """The whole recipe, once from each of `SEEDS`, the other trainer first every other time; the scores are means."""
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for seed in SEEDS:
        seeded = setup.of_seed(seed)
        for name in ("ours", "theirs") if seed % 2 == 0 else ("theirs", "ours"):
            free_memory()
            runs[name].append(_ours(seeded, splits) if name == "ours" else _theirs(seeded, splits, trainer))
    recipe = setup.modelled.recipe
    steps = recipe.epochs * recipe.steps_per_epoch(len(splits["train"]))
    ours, theirs = (Blocks(steps=steps, seconds=tuple(seconds for seconds, _ in found)) for found in runs.values())
    return Parity(
        **setup.fields,
        trainer=trainer.title,
        trainer_version=trainer.version(),
        ours=ours,
        theirs=theirs,
        scores={name: statistics.fmean(score for _, score in found) for name, found in runs.items()},
    )


def _ours(setup: Setup, splits: Mapping[str, Split]) -> tuple[float, float]:
    """Seconds and score."""
    step = setup.train_step()
    trained = fit(step, splits["train"], seed=setup.case.seed)
    return trained.seconds, evaluate(step, splits["test"]).metrics[setup.modelled.metric]


def _theirs(setup: Setup, splits: Mapping[str, Split], trainer: type[HuggingFace]) -> tuple[float, float]:
    case = setup.case
    training = trainer(setup.modelled, case.precision, setup.device, splits["train"], seed=case.seed)
    with precisions[case.precision]().settings():
        synchronise(setup.device)
        start = time.perf_counter()
        training.train()
        synchronise(setup.device)
        return time.perf_counter() - start, training.score(splits["test"])
