import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mpcore import OwnStep, register


@register
class LargerHalf(OwnStep):
    """Which half of a row is larger? What stands in build() is the script, as it was, but that it began no process group."""

    name = "larger-half"
    unit = "rows"
    units_per_batch = 64  # of one rank
    precisions = ("fp32", "bf16-amp")
    distributed = True

    def build(self, precision, device):
        self.model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 2)).to(device)
        spread = DistributedDataParallel(self.model)
        captured = {"lr": torch.tensor(1e-2, device=device), "capturable": True}  # a graph reads its rate on the GPU
        self.optimiser = torch.optim.AdamW(self.model.parameters(), **(captured if device.type == "cuda" else {"lr": 1e-2}))

        def step(batch):
            x, y = batch
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-amp"):
                loss = nn.functional.cross_entropy(spread(x), y)
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            return loss.detach()

        return step

    def batches(self, device):
        rows = torch.Generator().manual_seed(distributed.get_rank())  # each rank has its own
        for _ in range(10):
            x = torch.randn(64, 32, generator=rows)
            yield x.to(device), (x[:, :16].sum(1) > x[:, 16:].sum(1)).long().to(device)

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return self.model  # what ranks are compared by
