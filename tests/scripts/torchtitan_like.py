"""After torchtitan: containers of optimisers and schedules, a train step that takes from an iterator, metrics that are read
on the host from time to time. Its rate lives on the device where it may."""

import torch
from torch import nn
from torch.nn import functional as F

from mpcore import OwnStep, register

VOCAB, LENGTH, BATCH, MICROBATCHES = 64, 32, 8, 2


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.w1, self.w2, self.w3 = (
            nn.Linear(*shape, bias=False) for shape in ((dim, 2 * dim), (2 * dim, dim), (dim, 2 * dim))
        )

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Transformer(nn.Module):
    def __init__(self, dim=64, layers=2):
        super().__init__()
        self.tok_embeddings = nn.Embedding(VOCAB, dim)
        self.mixers = nn.ModuleDict({str(i): nn.GRU(dim, dim, batch_first=True) for i in range(layers)})
        self.layers = nn.ModuleDict({str(i): FeedForward(dim) for i in range(layers)})
        self.norms = nn.ModuleDict({str(i): nn.RMSNorm(dim) for i in range(layers)})
        self.output = nn.Linear(dim, VOCAB, bias=False)

    def forward(self, tokens):
        h = self.tok_embeddings(tokens)
        for i, layer in self.layers.items():
            h = h + self.mixers[i](self.norms[i](h))[0]
            h = h + layer(h)
        return self.output(h)


class OptimizersContainer:
    def __init__(self, model_parts, **options):
        self.optimizers = [torch.optim.AdamW(part.parameters(), **options) for part in model_parts]

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad()


class Trainer:
    def __init__(self, device, dtype):
        self.device, self.dtype, self.step, self.log_freq = device, dtype, 0, 50
        self.model_parts = [Transformer().to(device)]
        lr = torch.tensor(3e-3, device=device) if device.type == "cuda" else 3e-3
        self.optimizers = OptimizersContainer(self.model_parts, lr=lr, betas=(0.9, 0.95), capturable=device.type == "cuda")
        warmup = [torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=20) for o in self.optimizers.optimizers]
        self.lr_schedulers = warmup

    def forward_backward_step(self, input_dict, labels):
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            logits = self.model_parts[0](input_dict["input"])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten()) / MICROBATCHES
        loss.backward()
        return loss

    def train_step(self, data_iterator):
        self.optimizers.zero_grad()
        losses = []
        for _ in range(MICROBATCHES):
            input_dict, labels = next(data_iterator)
            losses.append(self.forward_backward_step(input_dict, labels).detach())
        torch.nn.utils.clip_grad_norm_([p for m in self.model_parts for p in m.parameters()], 1.0, foreach=True)
        self.optimizers.step()
        for scheduler in self.lr_schedulers:
            scheduler.step()
        self.step += 1
        if self.step % self.log_freq == 0:
            self.global_avg_loss = torch.stack(losses).sum().item()


@register
class Titan(OwnStep):
    name = "torchtitan-like"
    unit = "tokens"
    units_per_batch = MICROBATCHES * BATCH * LENGTH
    precisions = ("fp32", "bf16-amp")
    curve_steps = 60
    execution = "eager"  # its schedule writes the rate, and it reads a loss now and then

    def build(self, precision, device):
        self.trainer = trainer = Trainer(device, torch.bfloat16 if precision == "bf16-amp" else None)
        losses, own = [], trainer.forward_backward_step

        def kept(*arguments):
            losses.append(own(*arguments).detach())
            return losses[-1]

        trainer.forward_backward_step = kept

        def step(batch):
            losses.clear()
            trainer.train_step(iter(batch))
            return sum(losses)

        return step

    def batches(self, device):
        for _ in range(30):
            rows = torch.cumsum(torch.randint(1, 3, (MICROBATCHES, BATCH, LENGTH + 1)), -1) % VOCAB
            yield [({"input": part[:, :-1].to(device)}, part[:, 1:].to(device)) for part in rows]

    def optimisers(self):
        return self.trainer.optimizers.optimizers

    def parameters(self):
        return self.trainer.model_parts
