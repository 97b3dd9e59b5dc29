"""After timm's train.py: mixup, soft targets, label smoothing, gradient clipping by its scaler, an average of the weights."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mpcore import OwnStep, register

CLASSES, SIZE, BATCH = 10, 8, 16


def conv(a, b, stride=1):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


class Mixup:
    def __init__(self, alpha=0.2, smoothing=0.1):
        self.alpha, self.smoothing = alpha, smoothing

    def __call__(self, x, target):
        lam = float(np.random.beta(self.alpha, self.alpha))
        off = self.smoothing / CLASSES
        soft = F.one_hot(target, CLASSES).float() * (1 - self.smoothing) + off
        return x * lam + x.flip(0) * (1 - lam), soft * lam + soft.flip(0) * (1 - lam)


class NativeScaler:
    def __init__(self, device):
        self._scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

    def __call__(self, loss, optimizer, clip_grad, parameters):
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, clip_grad)
        self._scaler.step(optimizer)
        self._scaler.update()


def train_one_batch(model, x, target, optimizer, loss_fn, amp_autocast, loss_scaler, model_ema, mixup_fn):
    x, target = mixup_fn(x, target)
    with amp_autocast():
        output = model(x)
        loss = loss_fn(output.float(), target)
    loss_scaler(loss, optimizer, clip_grad=1.0, parameters=list(model.parameters()))
    optimizer.zero_grad()
    model_ema.update_parameters(model)
    return loss


@register
class Timm(OwnStep):
    name = "timm-like"
    unit = "images"
    units_per_batch = BATCH
    precisions = ("fp32", "bf16-amp")
    execution = "eager"  # mixup draws its share on the host
    tolerance = 5.0
    curve_steps = 60

    def build(self, precision, device):
        self.model = nn.Sequential(
            conv(3, 16), conv(16, 32, 2), conv(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)
        ).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
        self.model_ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
        scaler, mixup = NativeScaler(device.type), Mixup()

        def amp_autocast():
            return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-amp")

        def step(batch):
            x, target = batch
            return train_one_batch(
                self.model, x, target, self.optimizer, F.cross_entropy, amp_autocast, scaler, self.model_ema, mixup
            )

        return step

    def batches(self, device):
        target = torch.randint(CLASSES, (20, BATCH))
        patterns = torch.randn(CLASSES, 3, SIZE, SIZE)
        return [((patterns[t] + torch.randn(BATCH, 3, SIZE, SIZE)).to(device), t.to(device)) for t in target]

    def optimisers(self):
        return self.optimizer

    def parameters(self):
        return self.model

    def state(self):
        return [self.model_ema, *self.model.buffers()]
