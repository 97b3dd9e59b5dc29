"""Trainings of libraries that are told of their ranks by torchrun: each takes its share of the data, in two parts a step."""

import tempfile

import lightning
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

from mpcore import register
from mpcore.adapters import LightningStep, TrainerStep

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, :4].sum(1) > X[:, 4:].sum(1)).long()


def network():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = network()

    def training_step(self, batch, _):
        x, y = batch
        return F.cross_entropy(self.network(x), y)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


@register
class Lightning(LightningStep):
    name = "of-lightning"
    unit = "rows"
    units_per_batch = 16
    accumulate_grad_batches = 2
    distributed = True

    def module(self):
        return Classifier()

    def loader(self):
        return DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)


class WithLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x, labels):
        return {"loss": F.cross_entropy(self.network(x), labels)}


@register
class HuggingFace(TrainerStep):
    name = "of-huggingface"
    unit = "rows"
    units_per_batch = 16
    distributed = True

    def trainer(self, **arguments):
        own = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "learning_rate": 1e-2}
        made = TrainingArguments(output_dir=tempfile.mkdtemp(), **own, **arguments)
        return Trainer(model=WithLoss(), args=made, train_dataset=[{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)])
