import torch
from torch import nn

from mpcore import OwnStep, register


class Model(nn.Module):
    """Which of 16 letters comes next? What stands here is the script, as it was."""

    def __init__(self):
        super().__init__()
        self.letters, self.memory, self.head = nn.Embedding(16, 64), nn.LSTM(64, 64, batch_first=True), nn.Linear(64, 16)

    def forward(self, x):
        return self.head(self.memory(self.letters(x))[0]).flatten(0, 1)


def train_step(model, optimiser, schedule, batch, dtype=None):
    x, y = batch
    with torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        loss = nn.functional.cross_entropy(model(x), y.flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    schedule.step()
    return loss


@register
class Letters(OwnStep):
    name = "letters"
    unit = "letters"
    units_per_batch = 64 * 32
    precisions = ("fp32", "bf16-amp")

    def build(self, precision, device):
        self.model = Model().to(device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, 1000)
        dtype = torch.bfloat16 if precision == "bf16-amp" else None
        return lambda batch: train_step(self.model, self.optimiser, schedule, batch, dtype)

    def batches(self, device):
        text = torch.cumsum(torch.randint(1, 3, (100, 64, 33)), -1) % 16
        return [(part[:, :-1].to(device), part[:, 1:].to(device)) for part in text]

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return self.model
