"""Training stacks of people on ranks: one that wraps the model in DDP, one that forgets to, one that divides once too often."""

import functools

import torch
from torch.nn.parallel import DistributedDataParallel

from mpcore import Trainer, register
from mpcore.strategies import LossModule
from mpcore.trainers import Loop, optimiser


class Stack(Trainer):
    modes = {"fp32": None}
    strategies = ("ddp",)
    divisor = 1

    def build(self, workload, model, precision, device):
        made, loss_of = optimiser(workload, model), self.loss_of(workload, model)

        def step(batch):
            loss = loss_of(batch)
            (loss / self.divisor).backward()
            made.step()
            made.zero_grad()
            return loss.detach()

        return Loop(step=step, optimisers=[made])

    def loss_of(self, workload, model):
        return functools.partial(workload.loss, self.spread(model))

    def spread(self, model):
        return DistributedDataParallel(model) if self.strategy == "ddp" else model


@register
class OurStack(Stack):
    name = "our-stack"


@register
class WrapsTheLoss(Stack):
    """As the sentence says for a loss that calls methods of the model."""

    name = "wraps-the-loss"

    def loss_of(self, workload, model):
        return self.spread(LossModule(model, functools.partial(workload.loss, model)))


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
