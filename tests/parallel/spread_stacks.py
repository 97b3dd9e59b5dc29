"""Training stacks of people on ranks: one that wraps the model in DDP, one that forgets to, one that divides once too often."""

import torch
from torch.nn.parallel import DistributedDataParallel

from mpcore import Trainer, register
from mpcore.trainers import Loop, optimiser


class Stack(Trainer):
    modes = {"fp32": None}
    strategies = ("ddp",)
    divisor = 1

    def build(self, workload, model, precision, device):
        made, called = optimiser(workload, model), self.spread(model)

        def step(batch):
            loss = workload.loss(called, batch)
            (loss / self.divisor).backward()
            made.step()
            made.zero_grad()
            return loss.detach()

        return Loop(step=step, optimisers=[made])

    def spread(self, model):
        return DistributedDataParallel(model) if self.strategy == "ddp" else model


@register
class OurStack(Stack):
    name = "our-stack"


@register
class Forgetful(Stack):
    name = "forgetful"

    def spread(self, model):
        assert torch.distributed.is_initialized()
        return model


@register
class Divides(Stack):
    name = "divides"
    divisor = 2
