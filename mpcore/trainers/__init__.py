"""Who makes a training step, one file a trainer; importing this package registers them all."""

from mpcore.trainers import own, plain, fabric, accelerate, huggingface  # noqa: I001  (the order of the tables)
from mpcore.trainers.base import Trainer, optimiser, trainers
from mpcore.trainers.loop import Loop, LoopStep, TrainerError

__all__ = [
    "Loop",
    "LoopStep",
    "Trainer",
    "TrainerError",
    "accelerate",
    "fabric",
    "huggingface",
    "optimiser",
    "own",
    "plain",
    "trainers",
]
