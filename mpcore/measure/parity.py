"""The trainings of a case against another trainer's of the same model, data, recipe and mode."""

import statistics
from collections.abc import Mapping

from mpcore.data import Split
from mpcore.measure.accuracy import warm_up
from mpcore.measure.memory import free_memory
from mpcore.measure.setup import Setup
from mpcore.records import Blocks, Parity
from mpcore.trainers import Trainer
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit

SEEDS = (0, 1, 2)


def training_parity(setup: Setup, splits: Mapping[str, Split], trainer: type[Trainer]) -> Parity:
    """The whole recipe, once from each of `SEEDS`, the other trainer first every other time; the scores are means."""
    for one in (setup, setup.by(trainer)):
        free_memory()
        warm_up(one.train_step(), splits)
    runs: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for seed in SEEDS:
        for name in ("ours", "theirs") if seed % 2 == 0 else ("theirs", "ours"):
            free_memory()
            runs[name].append(_trained(setup if name == "ours" else setup.by(trainer), seed, splits))
    recipe = setup.modelled.recipe
    steps = recipe.epochs * recipe.steps_per_epoch(len(splits["train"]))
    ours, theirs = (Blocks(steps=steps, seconds=tuple(seconds for seconds, _ in found)) for found in runs.values())
    scores = {name: statistics.fmean(score for _, score in found) for name, found in runs.items()}
    return Parity(**setup.fields | _named(trainer), ours=ours, theirs=theirs, scores=scores)


def _trained(setup: Setup, seed: int, splits: Mapping[str, Split]) -> tuple[float, float]:
    """Seconds and score."""
    step = setup.of_seed(seed).train_step()
    trained = fit(step, splits["train"], seed=seed)
    return trained.seconds, evaluate(step, splits["test"]).metrics[setup.modelled.metric]


def _named(trainer: type[Trainer]) -> dict[str, str]:
    return {"trainer": trainer.called(), "trainer_version": trainer.version()}
