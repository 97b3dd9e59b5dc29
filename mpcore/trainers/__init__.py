"""Who makes a training step, one file a trainer; importing this package registers them all."""

from mpcore.trainers import plain, fabric, accelerate, huggingface  # noqa: I001  (the order of the tables)
from mpcore.trainers.base import Library, StepTrainer, trainers
from mpcore.trainers.huggingface import HuggingFace

__all__ = ["HuggingFace", "Library", "StepTrainer", "accelerate", "fabric", "huggingface", "plain", "trainers"]
