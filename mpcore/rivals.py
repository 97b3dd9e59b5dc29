"""Other trainers' steps: the same model, loss, optimiser and mode, as each library's own documentation writes the loop.

They get the same advantages: the fused optimiser, batches that are on the device already, no logging.
"""

import tempfile
from abc import ABC, abstractmethod
from importlib import metadata, util
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import Batch, Split
from mpcore.registry import Registry
from mpcore.train import EVALUATION_BATCHES, seed_everything
from mpcore.workloads import Workload

rivals: Registry[Any] = Registry("rival")


class Library:
    """What we are compared with."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """That must be installed, the one whose version counts first."""
    modes: ClassVar[dict[str, Any]]
    """By our modes, what the library calls them."""

    @classmethod
    def unsupported(cls, precision: str) -> str | None:
        """Why there is nothing to compare with, or None."""
        for package in cls.packages:
            if util.find_spec(package) is None:
                return f"{package} is not installed: pip install 'mpcore[parity]'"
        return None if precision in cls.modes else f"{cls.name} has no {precision}"

    @classmethod
    def version(cls) -> str:
        return metadata.version(cls.packages[0])


class Rival(Library, ABC):
    """One training step of `workload`: batch in, loss out. The TF32 switches are the caller's."""

    captured = False

    def __init__(self, workload: Workload, precision: str, device: torch.device, *, seed: int = 0) -> None:
        self.workload = workload
        self.device = device
        self.mode = self.modes[precision]
        seed_everything(seed)
        with torch.device(device):
            model = workload.checked_model()
        model = model.to(device).train()
        recipe = workload.recipe
        optimiser = getattr(torch.optim, recipe.optimiser)(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.model, self.optimiser = self.set_up(model, optimiser)

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate

    @abstractmethod
    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        """What the library makes of the two."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor: ...


@rivals.register
class Plain(Rival):
    """The loop of PyTorch's tutorial on automatic mixed precision."""

    name = "plain PyTorch"
    packages = ("torch",)
    modes = {"fp32": None, "tf32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16, "bf16-true": None}

    def __init__(self, workload: Workload, precision: str, device: torch.device, *, seed: int = 0) -> None:
        self.pure = precision == "bf16-true"
        super().__init__(workload, precision, device, seed=seed)

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        if self.pure:
            model.to(torch.bfloat16)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.mode == torch.float16)
        return model, optimiser

    def __call__(self, batch: Batch) -> Tensor:
        if self.pure:
            batch = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in batch.items()}
        with torch.autocast(self.device.type, self.mode, enabled=self.mode is not None):
            loss = self.workload.loss(self.model, batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        return loss.detach()


@rivals.register
class Fabric(Rival):
    """Lightning Fabric."""

    name = "Fabric"
    packages = ("lightning",)
    modes = {
        "fp32": "32-true",
        "tf32": "32-true",
        "fp16-amp": "16-mixed",
        "bf16-amp": "bf16-mixed",
        "fp16-true": "16-true",
        "bf16-true": "bf16-true",
    }

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        from lightning.fabric import Fabric as LightningFabric

        devices = 1 if self.device.index is None or self.device.type == "cpu" else [self.device.index]
        self.fabric = LightningFabric(accelerator=self.device.type, devices=devices, precision=self.mode)
        return self.fabric.setup(model, optimiser)

    def __call__(self, batch: Batch) -> Tensor:
        loss = self.workload.loss(self.model, batch)
        self.fabric.backward(loss)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()


@rivals.register
class Accelerate(Rival):
    """Hugging Face Accelerate."""

    name = "Accelerate"
    packages = ("accelerate",)
    modes = {"fp32": "no", "tf32": "no", "fp16-amp": "fp16", "bf16-amp": "bf16"}

    def set_up(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Any, Any]:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # one mode a process, otherwise
        self.accelerator = Accelerator(mixed_precision=self.mode, cpu=self.device.type == "cpu")
        return self.accelerator.prepare(model, optimiser)

    def __call__(self, batch: Batch) -> Tensor:
        loss = self.workload.loss(self.model, batch)
        self.accelerator.backward(loss)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.detach()


@rivals.register
class Trainer(Library):
    """transformers' Trainer, for whole trainings of a workload whose model is one of transformers' and knows its loss."""

    name = "Trainer"
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
