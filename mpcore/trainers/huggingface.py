"""transformers' Trainer."""

import tempfile
from typing import Any

import torch
from torch import Tensor

from mpcore.data import Split
from mpcore.trainers.base import Library, trainers
from mpcore.training.evaluation import EVALUATION_BATCHES
from mpcore.workloads import Workload


@trainers.register
class HuggingFace(Library):
    """transformers' Trainer, for whole trainings of a workload whose model is one of transformers' and knows its loss."""

    name = "huggingface"
    title = "Trainer"
    packages = ("transformers", "accelerate")
    modes = {"fp32": {}, "tf32": {}, "fp16-amp": {"fp16": True}, "bf16-amp": {"bf16": True}}

    def __init__(self, workload: Workload, precision: str, device: torch.device, split: Split, *, seed: int = 0) -> None:
        from transformers import Trainer as HuggingFaceTrainer
        from transformers import TrainingArguments

        recipe = workload.recipe
        self._folder = tempfile.TemporaryDirectory()
        arguments = TrainingArguments(
            output_dir=self._folder.name,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCHES * recipe.batch_size,
            num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            lr_scheduler_type="linear",
            warmup_steps=0.1,
            max_grad_norm=0.0,
            optim=f"{recipe.optimiser.lower()}_torch_fused",
            use_cpu=device.type == "cpu",
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **self.modes[precision],
        )
        self.workload = workload
        self.trainer: Any = HuggingFaceTrainer(
            model_init=workload.build_model,
            args=arguments,
            train_dataset=_Rows(split),
        )

    def train(self) -> None:
        self.trainer.train()

    def score(self, split: Split) -> float:
        """The workload's metric on `split`."""
        logits = self.trainer.predict(_Rows(split)).predictions
        metrics, _ = self.workload.score(split.to(torch.device("cpu")).columns, torch.from_numpy(logits).argmax(-1))
        return metrics[self.workload.metric]


class _Rows:
    """A split as a torch data set whose rows a transformers model takes, on the CPU as a loader has them."""

    def __init__(self, split: Split) -> None:
        columns = split.to(torch.device("cpu")).columns
        self.columns: dict[str, Tensor] = {"labels" if name == "label" else name: c for name, c in columns.items()}

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {name: column[row] for name, column in self.columns.items()}
