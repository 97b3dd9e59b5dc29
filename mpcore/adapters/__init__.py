"""Own steps that others have the loop of: a LightningModule, a transformers Trainer, a generator."""

from mpcore.adapters.huggingface import TrainerStep
from mpcore.adapters.lightning import LightningStep
from mpcore.adapters.loop import LoopStep

__all__ = ["LightningStep", "LoopStep", "TrainerStep"]
