"""Steps of people that are distributed already: plain DDP, FSDP with a clipped norm, one like torchtitan's, and one that
forgets to reduce."""

import time

import torch
from torch import distributed, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from mpcore import OwnStep, register


class Script(OwnStep):
    unit = "rows"
    units_per_batch = 16
    precisions = ("fp32", "bf16-amp")
    distributed = True

    def build(self, precision, device):
        assert distributed.is_initialized()
        assert distributed.get_world_size() == 2
        self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).to(device)
        self.spread(device)
        rate = {"lr": torch.tensor(1e-2, device=device), "capturable": True} if device.type == "cuda" else {"lr": 1e-2}
        self.optimiser = torch.optim.AdamW(self.model.parameters(), **rate)

        def step(batch):
            x, y = batch
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-amp"):
                loss = F.cross_entropy(self.called(x), y)
            loss.backward()
            self.clip()
            self.optimiser.step()
            self.optimiser.zero_grad()
            return loss.detach()

        return step

    def clip(self):
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    def batches(self, device):
        generator = torch.Generator().manual_seed(distributed.get_rank())
        for _ in range(4):
            x = torch.randn(16, 8, generator=generator)
            yield x.to(device), (x[:, :4].sum(1) > x[:, 4:].sum(1)).long().to(device)

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return self.model


@register
class PlainDDP(Script):
    name = "plain-ddp"

    def spread(self, device):
        self.called = DistributedDataParallel(self.model)


@register
class OneBatch(PlainDDP):
    """All ranks are given the same, and nothing is averaged."""

    name = "one-batch"

    def spread(self, device):
        self.called = self.model

    def batches(self, device):
        generator = torch.Generator().manual_seed(0)
        for _ in range(4):
            x = torch.randn(16, 8, generator=generator)
            yield x.to(device), (x[:, :4].sum(1) > x[:, 4:].sum(1)).long().to(device)


@register
class PlainFSDP(Script):
    name = "plain-fsdp"

    def spread(self, device):
        for layer in self.model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer)
        self.called = fully_shard(self.model)
        self.called.set_force_sum_reduction_for_comms(device.type == "cpu")


@register
class LikeTitan(Script):
    """As torchtitan has it: sharded where no weight has memory yet, each block by itself with a policy of formats; the norm is
    that of all shards."""

    name = "like-titan"
    precisions = ("bf16-fsdp",)

    def spread(self, device):
        with torch.device("meta"):
            self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        for block in (self.model[0], self.model[2]):
            fully_shard(block, mp_policy=policy)
        self.called = fully_shard(self.model, mp_policy=policy)
        self.called.set_force_sum_reduction_for_comms(device.type == "cpu")
        self.model.to_empty(device=device)
        for block in (self.model[0], self.model[2]):
            block.reset_parameters()

    def clip(self):
        weights = list(self.model.parameters())
        norm = nn.utils.get_total_norm([weight.grad for weight in weights])
        nn.utils.clip_grads_with_norm_(weights, 1.0, norm.full_tensor())


@register
class Unreduced(Script):
    name = "unreduced"

    def spread(self, device):
        self.called = self.model


@register
class SlowRank(PlainDDP):
    """The second rank computes longer, for which the other waits: their wall times are equal."""

    name = "slow-rank"

    def spread(self, device):
        super().spread(device)
        if distributed.get_rank() == 1:
            self.model.register_forward_hook(busy)


def busy(*_):
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
