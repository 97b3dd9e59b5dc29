"""After karpathy's nanoGPT and modded-nanogpt: a decoder, two groups of decay, Muon for matrices, a cosine schedule in Python,
gradient accumulation, clipping, a GradScaler. Its loop has got a `yield`."""

import math
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

from mpcore import register
from mpcore.adapters import LoopStep

block_size, batch_size, gradient_accumulation_steps, vocab_size = 32, 8, 4, 65
learning_rate, min_lr, warmup_iters, lr_decay_iters, grad_clip = 6e-3, 6e-4, 20, 2000, 1.0


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        b, t, c = x.size()
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.c_attn(self.ln_1(x)).split(c, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, layers=2, width=64, heads=2):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab_size, width), nn.Embedding(block_size, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, vocab_size, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx, targets):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return logits, F.cross_entropy(logits.view(-1, vocab_size), targets.view(-1))

    def configure_optimizers(self):
        muon = [p for p in self.h.parameters() if p.dim() == 2]
        others = [p for p in self.parameters() if not any(p is m for m in muon)]
        groups = [
            {"params": [p for p in others if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
        ]
        return [torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95)), torch.optim.Muon(muon, lr=0.02)]


def get_lr(it):
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    ratio = min((it - warmup_iters) / (lr_decay_iters - warmup_iters), 1.0)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


@register
class NanoGPT(LoopStep):
    name = "nanogpt-like"
    unit = "tokens"
    units_per_batch = gradient_accumulation_steps * batch_size * block_size
    precisions = ("fp32", "bf16-amp")
    curve_steps = 60

    def loop(self, precision, device, batches):
        dtype = {"bf16-amp": torch.bfloat16, "fp16-amp": torch.float16}.get(precision)
        ctx = nullcontext() if dtype is None else torch.amp.autocast(device_type=device.type, dtype=dtype)
        scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.model = model = GPT().to(device)
        self.optimizers = optimizers = model.configure_optimizers()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["peak"] = group["lr"]
        iter_num = 0
        while True:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * get_lr(iter_num) / learning_rate
            total = 0.0
            for X, Y in next(batches):
                with ctx:
                    _, loss = model(X, Y)
                    loss = loss / gradient_accumulation_steps
                total = total + loss.detach()
                scaler.scale(loss).backward()
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            iter_num += 1
            yield total

    def batches(self, device):
        data = torch.cumsum(torch.randint(1, 4, (20_000,)), 0) % vocab_size
        while True:
            yield [self.get_batch(data, device) for _ in range(gradient_accumulation_steps)]

    def get_batch(self, data, device):
        ix = torch.randint(len(data) - block_size - 1, (batch_size,))
        x, y = (torch.stack([data[i + shift : i + shift + block_size] for i in ix]) for shift in (0, 1))
        return x.to(device), y.to(device)

    def optimisers(self):
        return self.optimizers

    def parameters(self):
        return self.model
