"""A Trainer of transformers: each step is its own loop's, callbacks and all."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.precision import Inapplicable
from mpcore.workloads import OwnStep, WorkloadError

NEVER = {"eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
"""What is no part of a step."""


class TrainerStep(OwnStep):
    """A script that trains with transformers' Trainer, or with one of one's own that is made of it.

    A batch is what the Trainer's own loader gives for one update, as many parts as it accumulates gradients over.
    """

    precisions = ("fp32", "tf32", "fp16-amp", "bf16-amp")
    execution = "eager"
    modes: ClassVar[dict[str, dict[str, Any]]] = {"fp16-amp": {"fp16": True}, "bf16-amp": {"bf16": True}}
    """By precision, what TrainingArguments are told of it."""

    @abstractmethod
    def trainer(self, **arguments: Any) -> Any:
        """A new Trainer of transformers, or of a class that is made of it; the seed is set. arguments: those that its
        TrainingArguments must be given, for device and precision, and so that nothing is saved, logged or evaluated between
        steps."""

    def build(self, precision: str, device: torch.device) -> Callable[[Any], Tensor]:
        if (precision, device.type) == ("fp16-amp", "cpu"):
            raise Inapplicable("Accelerate computes in FP32 on a CPU where it is told FP16")
        trainer = self.trainer(use_cpu=device.type == "cpu", **self.modes.get(precision, {}), **NEVER)
        if trainer.args.n_gpu > 1:
            expected = "expected one of them in CUDA_VISIBLE_DEVICES. A case beside --mp-gpus finds it by itself"
            seen = f"its Trainer spreads a step over all {trainer.args.n_gpu} GPUs that it sees"
            raise WorkloadError(f"{self.name}: {seen}: {expected}")
        self._updates = Updates(trainer)
        return self._updates

    def batches(self, device: torch.device) -> Iterable[Any]:
        parts = self._updates.trainer.args.gradient_accumulation_steps
        loaded: list[Any] = []
        for part in self._updates.loader:
            loaded.append(part)
            if len(loaded) == parts:
                yield loaded
                loaded = []

    def optimisers(self) -> Any:
        return self._updates.trainer.optimizer

    def parameters(self) -> nn.Module:
        module: nn.Module = self._updates.trainer.model
        return module


class Updates:
    """The updates of a Trainer's own loop, one by one, once all is prepared for the first. loader: its own. Raises Inapplicable
    for a version of transformers whose loop makes no single updates."""

    def __init__(self, trainer: Any) -> None:
        if not hasattr(trainer, "_run_epoch"):
            raise Inapplicable(f"transformers {metadata.version('transformers')} has no loop of single updates: upgrade it")
        self.trainer = trainer
        self.loader = _prepared(trainer)
        self._losses: list[Tensor] = []
        trainer.training_step = self._kept(trainer.training_step)
        self._own_mode = held_mode()
        self._start = time.time()

    def __call__(self, parts: Sequence[Any]) -> Tensor:
        """An epoch of one update, over the parts of a batch. Returns its loss."""
        self._losses.clear()
        self._own_mode()
        self.trainer.control.should_training_stop = False  # though its schedule may be over
        self.trainer._run_epoch(  # private API
            model=self.trainer.model_wrapped,
            epoch=0,
            train_dataloader=parts,
            steps_in_epoch=len(parts),
            num_update_steps_per_epoch=1,
            trial=None,
            ignore_keys_for_eval=None,
            start_time=self._start,
            resume_from_checkpoint=None,
            epochs_trained=0,
            steps_trained_in_current_epoch=0,
        )
        return torch.stack(self._losses).sum() if len(self._losses) > 1 else self._losses[0]

    def _kept(self, training_step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """With its losses, which are shares of that of the whole update."""

        def kept(*arguments: Any, **options: Any) -> Tensor:
            loss = training_step(*arguments, **options)
            self._losses.append(loss)
            return loss

        return kept


def held_mode() -> Callable[[], None]:
    """Accelerate has one mode a process: that of whoever was made last. What is returned makes the present one hold again."""
    from accelerate.state import AcceleratorState

    state = AcceleratorState._shared_state  # private API
    held = dict(state)
    return lambda: state.update(held)


class _Ready(Exception):
    """All is prepared for the first step."""


def _prepared(trainer: Any) -> Any:
    """The loader of a Trainer that has begun, with optimiser and schedule, as its `train` does."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_train_begin(self, *_: Any, train_dataloader: Any, **__: Any) -> None:
            raise _Ready(train_dataloader)

    stop = Stop()
    trainer.add_callback(stop)
    try:
        trainer.train()
    except _Ready as ready:
        return ready.args[0]
    finally:
        trainer.remove_callback(stop)
