"""A training stack as its users write it, and what may go wrong in one."""

import torch
from torch import nn

from mpcore.trainers import Loop, Trainer
from mpcore.trainers.base import optimiser

MODES = {"fp32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16}


class Stack(Trainer):
    """Correct, and clips where a gradient is longer than any of these models has."""

    name = "stack"
    modes = MODES
    max_norm = 1e3

    def build(self, workload, model, precision, device):
        self.dtype, self.workload, self.model = self.modes[precision], workload, model
        self.optimiser = optimiser(workload, model)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        return Loop(step=self.train, optimisers=[self.optimiser], scaler=self.scaler, forward=self.forward)

    def forward(self):
        return torch.autocast("cpu", self.dtype, enabled=self.dtype is not None)

    def unscale(self):
        self.scaler.unscale_(self.optimiser)

    def clip(self):
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)

    def train(self, batch):
        with self.forward():
            loss = self.workload.loss(self.model, batch)
        self.scaler.scale(loss).backward()
        self.unscale()
        self.clip()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        return loss.detach()


class ClipsScaled(Stack):
    """Forgets to unscale before it clips; GradScaler does it when the optimiser steps."""

    name = "clips-scaled"

    def unscale(self):
        pass


class DropsMasters(Stack):
    """Weights in BF16, and calls it AMP."""

    name = "drops-masters"

    def build(self, workload, model, precision, device):
        return super().build(workload, model.to(self.modes[precision]), precision, device)


class NoAutocast(Stack):
    """Its switch for mixed precision is not connected."""

    name = "no-autocast"

    def build(self, workload, model, precision, device):
        loop = super().build(workload, model, precision, device)
        self.dtype = None
        return loop


class KeepsGradients(Stack):
    """Adds each gradient to those of all steps before."""

    name = "keeps-gradients"

    def build(self, workload, model, precision, device):
        loop = super().build(workload, model, precision, device)
        self.optimiser.zero_grad = lambda: None
        return loop


class AnotherRate(Stack):
    """A rate of its own in place of the recipe's."""

    name = "another-rate"

    def build(self, workload, model, precision, device):
        loop = super().build(workload, model, precision, device)
        for group in self.optimiser.param_groups:
            group["lr"] *= 3
        return loop


class StandsStill(Stack):
    """Its optimiser steps over a copy of the model."""

    name = "stands-still"

    def build(self, workload, model, precision, device):
        loop = super().build(workload, model, precision, device)
        self.model = workload.build_model().train()
        return loop


class StepsAnother(Stack):
    """Names an optimiser that it does not step."""

    name = "steps-another"

    def build(self, workload, model, precision, device):
        loop = super().build(workload, model, precision, device)
        self.optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
        return loop
