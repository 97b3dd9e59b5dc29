import torch
from torch import nn

from mpcore.data import Split
from mpcore.records import Recipe
from mpcore.registry import workloads
from mpcore.workloads import Workload, cross_entropy


@workloads.register
class Stripes(Workload):
    """Which of four places in a row of noisy numbers is the highest on average?"""

    name = "stripes"
    unit = "rows"
    classes = 4
    recipes = {
        "tiny": Recipe(epochs=3, batch_size=32, learning_rate=3e-3),
        "full": Recipe(epochs=3, batch_size=4096, learning_rate=3e-3),
    }
    tolerances = {"tiny": 5.0, "full": 1.0}

    def build_model(self):
        width = {"tiny": 64, "full": 4096}[self.size]
        return nn.Sequential(nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))

    def data(self, split):
        rows = {"tiny": {"train": 960, "test": 200}, "full": {"train": 40_960, "test": 4096}}[self.size][split]
        generator = torch.Generator().manual_seed({"train": 0, "test": 1}[split])
        label = torch.randint(4, (rows,), generator=generator)
        x = torch.randn(rows, 64, generator=generator) + nn.functional.one_hot(label, 4).repeat_interleave(16, 1)
        return Split({"x": x, "label": label})

    def loss(self, model, batch):
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)
