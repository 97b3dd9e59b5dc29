"""Strategies with a fault, each as ddp but for it."""

import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mpcore.device import agreement
from mpcore.strategies import DataParallel, FullyShard, strategies


@strategies.register
class Drift(DataParallel):
    """In the tenth step one weight of the second rank moves to the next number."""

    name = "drift"
    steps = 0

    def reduce(self):
        super().reduce()
        self.steps += 1
        if agreement.rank() == 1 and self.steps == 10:
            with torch.no_grad():
                weight = next(iter(self._precision.weights().values())).view(-1)[:1]
                weight.copy_(torch.nextafter(weight, weight + 1))


@strategies.register
class Missing(DataParallel):
    """The gradient of one weight is each rank's own."""

    name = "missing"

    def wrap(self, whole, precision):
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(whole, ["model.2.bias"])
        return super().wrap(whole, precision)


@strategies.register
class Divisor(DataParallel):
    """Gradients are divided by the number of ranks once more."""

    name = "divisor"

    def reduce(self):
        super().reduce()
        for weight in self._precision.trained(self._precision.model).values():
            weight.grad.div_(agreement.ranks())


@strategies.register
class Looks(DataParallel):
    """The second rank looks at its gradients after each step."""

    name = "looks"

    def reduce(self):
        super().reduce()
        if agreement.rank() == 1:
            next(iter(self._precision.trained(self._precision.model).values())).grad.sum().item()


class Counting(DataParallel):
    """Knows in how many parts a batch goes through."""

    parts = 0

    def micro_batch(self, *, last):
        self.parts += 1
        return super().micro_batch(last=last)

    def counted(self):
        parts, self.parts = self.parts, 0
        return parts


@strategies.register
class AtOnce(Counting):
    """The same, but of a batch that goes through in one part alone."""

    name = "at-once"

    def reduce(self):
        super().reduce()
        for group in self._precision.groups if self.counted() == 1 else ():
            group.whole.grad.div_(agreement.ranks())


@strategies.register
class NotFinite(DataParallel):
    """One gradient is no number, where nobody knows how many elements a step must average, as with `ddp-syncbn`."""

    name = "not-finite"
    reduced = None

    def reduce(self):
        super().reduce()
        next(iter(self._precision.trained(self._precision.model).values())).grad.fill_(torch.nan)


@strategies.register
class Scale(DataParallel):
    """The second rank doubles its loss scale by itself."""

    name = "scale"
    steps = 0

    def reduce(self):
        super().reduce()
        self.steps += 1
        if agreement.rank() == 1 and self.steps == 3:
            self._precision.scaler.scale.mul_(2)


@strategies.register
class Twice(DataParallel):
    """Each part of a batch is followed by a reduction."""

    name = "twice"

    def micro_batch(self, *, last):
        return super().micro_batch(last=True)


@strategies.register
class Apart(DataParallel):
    """A flat gradient stays on its rank, and with it what is not finite."""

    name = "apart"

    def reduce(self):
        """Nothing."""


@strategies.register
class Overflow(DataParallel):
    """Gradients travel in FP16 and are divided after they were added up, as over 128 ranks."""

    name = "overflow"

    def reduce(self):
        for group in self._precision.groups if self._wrapper is None else ():  # but not FP64, which says what is right
            sent = (64 * group.whole.grad).half()
            distributed.all_reduce(sent)
            group.whole.grad.copy_(sent.float() / 64 / agreement.ranks())


@strategies.register
class OverflowAtOnce(Counting):
    """The same, but of a batch that goes through in one part alone."""

    name = "overflow-at-once"

    def reduce(self):
        Overflow.reduce(self) if self.counted() == 1 else super().reduce()


@strategies.register
class Coarse(FullyShard):
    """Gradients of FP16 are averaged in BF16, which is within what FP16 may be wrong by."""

    name = "coarse"

    def reduced_in(self, precision):
        return torch.bfloat16 if precision.dtype == torch.float16 else super().reduced_in(precision)


@strategies.register
class Noisy(FullyShard):
    """What is gathered is another in its last digits each time."""

    name = "noisy"

    def reduce(self):
        super().reduce()
        for weight in self._precision.weights().values():
            weight.grad.mul_(1 + 2.0**-22 * os.urandom(1)[0])
