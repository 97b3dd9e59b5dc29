import torch
from torch import nn

from mpcore import Trainer, register
from mpcore.trainers import Loop, optimiser


class Engine:
    """A training stack, as it was: autocast, a loss scale, and gradients that are clipped."""

    def __init__(self, model, loss, optimiser, dtype=None, max_norm=None):
        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.dtype, self.max_norm = dtype, max_norm
        self.device = next(model.parameters()).device.type
        self.scaler = torch.amp.GradScaler(self.device, enabled=dtype == torch.float16)

    def autocast(self):
        return torch.autocast(self.device, self.dtype, enabled=self.dtype is not None)

    def train_batch(self, batch):
        with self.autocast():
            loss = self.loss(self.model, batch)
        self.scaler.scale(loss).backward()
        if self.max_norm is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        return loss.detach()


@register
class OurStack(Trainer):
    name = "our-stack"
    modes = {"fp32": None, "fp16-amp": torch.float16, "bf16-amp": torch.bfloat16}

    def build(self, workload, model, precision, device):
        by_recipe = optimiser(workload, model)
        engine = Engine(model, workload.loss, by_recipe, self.modes[precision], workload.recipe.max_norm)
        return Loop(step=engine.train_batch, optimisers=[by_recipe], scaler=engine.scaler, forward=engine.autocast)
