import torch
from torch import nn

from mpcore import OwnStep, register


@register
class Letters(OwnStep):
    """Which of 16 letters comes next? A script's own loop: model, optimiser, clipping and schedule, as they are."""

    name = "letters"
    unit = "letters"
    units_per_batch = 64 * 32
    precisions = ("fp32", "bf16-amp")

    def build(self, precision, device):
        model = nn.Sequential(nn.Embedding(16, 64), nn.LSTM(64, 64, batch_first=True)).to(device)
        head = nn.Linear(64, 16, device=device)
        self.model, self.head = model, head
        self.optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, 1000)

        def step(batch):
            letters, following = batch
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-amp"):
                loss = nn.functional.cross_entropy(head(model(letters)[0]).flatten(0, 1), following.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            schedule.step()
            return loss

        return step

    def batches(self, device):
        text = torch.cumsum(torch.randint(1, 3, (100, 64, 33)), -1) % 16
        return [(part[:, :-1].to(device), part[:, 1:].to(device)) for part in text]

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return [self.model, self.head]
