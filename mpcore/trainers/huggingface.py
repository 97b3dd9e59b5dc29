"""transformers' Trainer."""

import sys
import tempfile
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.adapters.huggingface import NEVER, Updates, held_mode
from mpcore.data import Batch
from mpcore.precision import Inapplicable
from mpcore.trainers.accelerate import forget_modes
from mpcore.trainers.base import Trainer, loss_module, optimiser, trainers
from mpcore.trainers.loop import Loop
from mpcore.training.parts import parts
from mpcore.workloads import Workload


@trainers.register
class HuggingFace(Trainer):
    """transformers' Trainer, with the workload's loss. Each step is its own loop's, without its data loader, logging and
    saving."""

    name = "huggingface"
    title = "Trainer"
    packages = ("transformers", "accelerate")
    install = "'mpcore[parity]'"
    modes = {"fp32": {}, "tf32": {}, "fp16-amp": {"fp16": True}, "bf16-amp": {"bf16": True}}
    gpu_only = ("fp16-amp",)
    strategies = ("ddp",)

    def build(self, workload: Workload, model: nn.Module, precision: str, device: torch.device) -> Loop:
        from transformers import Trainer as HuggingFaceTrainer
        from transformers import TrainingArguments

        weights: list[float] = []
        spread = self.strategy == "ddp"

        class Fed(HuggingFaceTrainer):
            def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Tensor:
                # It casts in a forward pass alone, where a model of theirs has its loss.
                with self.accelerator.autocast():
                    loss: Tensor = model(inputs) if spread else workload.loss(model, inputs)
                weight = weights.pop(0)
                return loss if weight == 1 else loss * weight  # one launch less, as in a script

            def get_train_dataloader(self) -> Any:
                return []  # each step is handed its batch

        if device.index and not spread:
            raise Inapplicable(f"Trainer takes the first GPU that it sees, and this is {device}: expected CUDA_VISIBLE_DEVICES")
        forget_modes()
        recipe = workload.recipe
        arguments = TrainingArguments(
            output_dir=tempfile.gettempdir(),  # nothing is saved
            per_device_train_batch_size=recipe.batch_size,
            max_steps=sys.maxsize,
            lr_scheduler_type="constant",
            gradient_accumulation_steps=recipe.accumulation,
            max_grad_norm=recipe.max_norm or 0.0,
            use_cpu=device.type == "cpu",
            **NEVER | self.modes[precision],
        )
        if arguments.n_gpu > 1:
            arguments._n_gpu = 1  # private API; a step is one GPU's
        made = optimiser(workload, model)
        trained = loss_module(workload, model) if spread else model
        trainer = Fed(model=trained, args=arguments, optimizers=(made, None))
        trainer.model_accepts_loss_kwargs = False  # or it leaves its division to a model whose forward takes **kwargs
        updates, wrapped, own_mode = Updates(trainer), trainer.model_wrapped, held_mode()

        def forward() -> AbstractContextManager[None]:
            own_mode()
            autocast: AbstractContextManager[None] = trainer.accelerator.autocast()
            return autocast

        def step(batch: Batch) -> Tensor:
            split = parts(batch, recipe.accumulation)
            weights[:] = [share * len(split) for _, share in split]  # for it divides by their number
            return updates([part for part, _ in split])

        return Loop(
            step=step,
            optimisers=[made],
            scaler=trainer.accelerator.scaler,
            forward=forward,
            **({"whole": wrapped} if spread else {"model": wrapped}),
        )
