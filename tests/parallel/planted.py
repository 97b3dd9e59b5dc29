"""Workloads that train in a moment, some with a fault: in the second rank, and where both have begun."""

import math
import os
import signal
import threading
import time
from pathlib import Path

import torch
from torch import distributed, nn

from mpcore import Workload, register
from mpcore.data import Split
from mpcore.records import Recipe
from mpcore.workloads import cross_entropy


class Planted(Workload):
    unit = "vectors"
    classes = 2
    recipes = dict.fromkeys(("tiny", "full"), Recipe(epochs=1, batch_size=16, learning_rate=1e-2))
    tolerances = dict.fromkeys(("tiny", "full"), 100.0)
    synthetic = True

    def build_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))

    def data(self, split):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(128, 8, generator=generator)
        return Split({"x": x, "label": (x[:, :4].sum(1) > x[:, 4:].sum(1)).long()})

    def loss(self, model, batch):
        if os.environ.get("RANK") == "1" and "RANK" in os.environ:
            self.fault()
        if "RANK" in os.environ and self.together:
            distributed.barrier()
        return cross_entropy(model(batch["x"]), batch["label"])

    def predict(self, model, batch):
        return model(batch["x"]).argmax(-1)

    together = False

    def fault(self):
        """What is wrong, in rank 1."""


@register
class Good(Planted):
    name = "good"


@register
class Mismatch(Planted):
    """Rank 1 reduces more than rank 0 does."""

    name = "mismatch"

    def loss(self, model, batch):
        if "RANK" in os.environ:
            distributed.all_reduce(torch.zeros(1 + 31 * int(os.environ["RANK"])))
        return super().loss(model, batch)


@register
class Normed(Planted):
    name = "normed"

    def build_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


class InAnyOrder(torch.autograd.Function):
    """Its gradient is another in its last digit each time."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * (1 + 2.0**-22 * os.urandom(1)[0])


class InOneOrder(InAnyOrder):
    """But where torch is to compute in one order."""

    @staticmethod
    def backward(context, gradient):
        return gradient if torch.are_deterministic_algorithms_enabled() else InAnyOrder.backward(context, gradient)


@register
class Unordered(Planted):
    name = "unordered"
    function = InAnyOrder

    def loss(self, model, batch):
        return super().loss(lambda x: self.function.apply(model(x)), batch)


@register
class Ordered(Unordered):
    name = "ordered"
    function = InOneOrder


@register
class WithoutOrder(Unordered):
    """torch has no kernel of one order for one of its operations."""

    name = "without-order"

    def loss(self, model, batch):
        x = batch["x"].clone()
        x.put_(torch.zeros(1, dtype=torch.long, device=x.device), x[0, :1].clone())
        return super().loss(model, batch)


@register
class RefusedInRank1(WithoutOrder):
    name = "refused-in-rank-1"

    def loss(self, model, batch):
        return (super() if os.environ.get("RANK") == "1" else super(WithoutOrder, self)).loss(model, batch)


@register
class WrongWithoutOrder(WithoutOrder):
    """After that it fails by the kernels that are left, for another reason."""

    name = "wrong-without-order"
    refused = False

    def loss(self, model, batch):
        if torch.are_deterministic_algorithms_enabled():
            type(self).refused = True
        elif self.refused:
            raise ValueError("the labels are wrong")
        return super().loss(model, batch)


@register
class Draws(Planted):
    """Its loss does, and that is no dropout."""

    name = "draws"

    def loss(self, model, batch):
        x = batch["x"]
        return super().loss(lambda given: model(given + 0.1 * torch.randn_like(x)), batch)


class Around(nn.Module):
    """Its numbers lie close together around a large one, of which 16 bits keep little more than that."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return (self.network(x) + 256.0) - 256.0


@register
class Rounds(Planted):
    """Rounding alone does much to its gradient."""

    name = "rounds"

    def build_model(self):
        return Around(super().build_model())


class Methods(nn.Module):
    """Has no forward pass, but a method and a part that others call."""

    def __init__(self, network):
        super().__init__()
        self.body, self.head = network[:2], network[2]

    def scores(self, x):
        return self.head(x)


@register
class ByMethods(Planted):
    name = "by-methods"

    def build_model(self):
        return Methods(super().build_model())

    def loss(self, model, batch):
        return cross_entropy(model.scores(model.body(batch["x"])), batch["label"])

    def predict(self, model, batch):
        return model.scores(model.body(batch["x"])).argmax(-1)


class OneOfTwo(nn.Module):
    """Which of its parts is called hangs on the batch, and so on the rank."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(8, 2) for _ in range(2))

    def forward(self, x):
        return self.parts[int(x[0, 0] > 0)](x)


@register
class Sometimes(Planted):
    name = "sometimes"

    def build_model(self):
        return OneOfTwo()


@register
class OtherShape(Planted):
    name = "other-shape"

    def build_model(self):
        width = 17 if os.environ.get("RANK") == "1" else 16
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))


class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 4, dtype=torch.complex64) / 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head((x.to(self.weight.dtype) @ self.weight).abs())


@register
class Complex(Planted):
    name = "complex"

    def build_model(self):
        return Spectrum()


@register
class NoLoss(Planted):
    """Of rank 1."""

    name = "no-loss"

    def loss(self, model, batch):
        return super().loss(model, batch) * (math.nan if os.environ.get("RANK") == "1" else 1.0)


@register
class WithoutFP64(Planted):
    name = "without-fp64"

    def loss(self, model, batch):
        if model(batch["x"]).dtype == torch.float64:
            raise RuntimeError("kernel: expected fp32, fp16 or bf16")
        return super().loss(model, batch)


@register
class WrongWithoutFP64(WithoutFP64):
    """In all other modes it fails as well, for another reason."""

    name = "wrong-without-fp64"

    def loss(self, model, batch):
        super().loss(model, batch)
        raise ValueError("the labels are wrong")


@register
class Crash(Planted):
    name = "crash"
    together = True

    def fault(self):
        os.kill(os.getpid(), signal.SIGSEGV)


@register
class Kill(Planted):
    name = "kill"
    together = True

    def fault(self):
        os.kill(os.getpid(), signal.SIGKILL)


@register
class Leave(Planted):
    name = "leave"
    together = True

    def fault(self):
        raise SystemExit("had enough")


@register
class Raise(Planted):
    name = "raise"
    together = True

    def fault(self):
        raise ValueError("a b c")


@register
class Memory(Planted):
    name = "memory"
    together = True

    def fault(self):
        raise torch.OutOfMemoryError("no memory of 2 GiB")


@register
class Hang(Planted):
    name = "hang"
    together = True

    def fault(self):
        if mark := os.environ.get("MPCORE_TEST_HANGS"):
            Path(mark).touch()
        time.sleep(1000)


@register
class Stop(Planted):
    """Not even a signal is heard."""

    name = "stop"
    together = True

    def fault(self):
        os.kill(os.getpid(), signal.SIGSTOP)


@register
class StopInReplay(Planted):
    """A moment after the step was captured."""

    name = "stop-in-replay"

    def fault(self):
        if torch.cuda.is_current_stream_capturing():
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGSTOP)).start()


@register
class Slow(Planted):
    """Its training takes longer than a case may be silent."""

    name = "slow"

    def loss(self, model, batch):
        time.sleep(0.5)
        return super().loss(model, batch)


@register
class HangLater(Planted):
    """In the training."""

    name = "hang-later"
    together = True
    losses = 0

    def fault(self):
        self.losses += 1
        if self.losses > 4:
            time.sleep(1000)


@register
class Both(Planted):
    name = "both"

    def loss(self, model, batch):
        if "RANK" in os.environ:
            raise ValueError("both fail")
        return super().loss(model, batch)
