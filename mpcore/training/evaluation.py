"""What a trained model reaches on the test split."""

import time
from dataclasses import dataclass

import torch

from mpcore.data import Split
from mpcore.device.machine import synchronise
from mpcore.records import Confusion
from mpcore.training.base import needs
from mpcore.training.of_workload import WorkloadStep
from mpcore.workloads.checked import checked_score

EVALUATION_BATCHES = 4
"""Evaluation keeps no activations: its batches are this many times those of the training."""


@dataclass(frozen=True)
class Evaluation:
    """The workload's metrics; `seconds` of predicting, including the way back to the host."""

    seconds: float
    metrics: dict[str, float]
    confusion: Confusion | None


def evaluate(step: WorkloadStep, split: Split) -> Evaluation:
    """Predicts every sample of `split` and scores the predictions. Raises Inapplicable for a step that predicts nothing."""
    needs(step, "model", "prediction")
    step.model.eval()
    synchronise(step.device)
    start = time.perf_counter()
    size = step.workload.recipe.batch_size * EVALUATION_BATCHES
    predicted = torch.cat([step.predict(batch).clone() for batch in split.batches(size)]).cpu()
    seconds = time.perf_counter() - start
    step.train_mode()
    truth = split.to(torch.device("cpu")).columns
    return Evaluation(seconds, *checked_score(step.workload, truth, predicted))
