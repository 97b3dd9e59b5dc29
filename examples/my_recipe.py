import math

import torch

from mpcore import register
from mpcore.records import Recipe
from mpcore.workloads import Group
from mpcore.workloads.gpt2_text import Gpt2Text


@register
class TunedGpt2(Gpt2Text):
    """GPT-2 as language models are trained: no decay of biases and norms, warm-up and cosine, clipping, accumulation."""

    name = "gpt2-tuned"
    settings = {"weight_decay": 0.1, "betas": (0.9, 0.95), "max_norm": 1.0, "accumulation": 2, "drop_last": True}
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3, **settings),
        "full": Recipe(epochs=4, batch_size=8, learning_rate=6e-4, **settings),
    }

    def groups(self, model):
        matrices = [p for p in model.parameters() if p.dim() > 1]
        return [Group(matrices), Group([p for p in model.parameters() if p.dim() == 1], rate=0.5, decay=0.0)]

    def optimiser(self, groups):
        return torch.optim.NAdam(groups, betas=self.recipe.betas, decoupled_weight_decay=True)

    def schedule(self, step, steps):
        warm_up = max(steps // 20, 1)
        return step / warm_up if step < warm_up else 0.5 + 0.5 * math.cos(math.pi * step / steps)
