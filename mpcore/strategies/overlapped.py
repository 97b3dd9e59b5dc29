"""`ddp-overlap`: as `ddp`, but the one flat tensor of gradients is averaged piece by piece while the backward pass runs.

Weights get their gradients from the last layer to the first, and lie in the flat tensor from the first to the last. A piece is
averaged once all its gradients are there, and after those that lie behind it, so that all ranks send in one order.

A weight may get its gradient in several parts, as one that two checkpoints share. In how many is seen in the first backward
pass, in which nothing is sent early.
"""

import functools
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.precision import Precision, PrecisionError
from mpcore.precision.flat import FlatWeights, Group
from mpcore.strategies.base import LossModule, strategies
from mpcore.strategies.ddp import DataParallel, average

PIECE_BYTES = 32 * 2**20
"""Of gradients that are averaged at once: enough for the full speed of links, little enough to begin early."""


@dataclass
class Piece:
    """Of the flat gradients of a group: neighbours, and the part of the tensor that they lie in. left: names whose gradients
    are not there yet."""

    group: Group
    names: Sequence[str]
    gradient: Tensor
    left: set[str] = field(default_factory=set)


@strategies.register
class Overlapped(DataParallel):
    name = "ddp-overlap"

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        if not issubclass(mode, FlatWeights):
            return f"ddp overlaps what {mode.name} sends already, in buckets: expected --mp-strategy ddp"
        return super().unsupported(mode, optimiser, gpus, device)

    def wrap(self, whole: LossModule, precision: Precision) -> nn.Module:
        self._pieces: list[Piece] = []
        self._waiting: list[Piece] = []
        self._sent: list[Any] = []
        self._early = False
        self._parts: Counter[str] | None = None
        self._seen: Counter[str] = Counter()
        if isinstance(precision, FlatWeights):
            self._flat = precision
            self._pieces = [piece for group in reversed(precision.groups) for piece in pieces(group)]
        for number, piece in enumerate(self._pieces):
            for name in piece.names:
                hook = functools.partial(_arrived, weakref.ref(self), number, name)
                piece.group.parameters[name].register_post_accumulate_grad_hook(hook)
        return super().wrap(whole, precision)

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        return self._sending() if last and self._pieces else super().micro_batch(last=last)

    def reduce(self) -> None:
        """What some gradient was missing of is averaged now; then all of it is waited for. What ranks do not agree on is found
        after that: until then each sends as many pieces as the others."""
        while self._waiting:
            self._send(self._waiting.pop(0))
        for work in self._sent:
            work.wait()
        self._sent.clear()
        self._check_reached()

    def arrived(self, number: int, name: str) -> None:
        """The gradient of a weight of a piece is there, or a part of it."""
        if not self._early:
            return
        self._seen[name] += 1
        if self._parts is None or self._seen[name] < self._parts[name]:
            return
        if name not in self._pieces[number].left:
            before = "more parts than in the first step, and was averaged already: expected --mp-strategy ddp"
            raise PrecisionError(f"ddp-overlap: the gradient of {name} comes in {before}")
        self._pieces[number].left.discard(name)
        while self._waiting and not self._waiting[0].left:
            first = self._waiting.pop(0)
            first.group.gather_early(first.names, add=self._flat.gathered)
            self._send(first)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        self._waiting = list(self._pieces)
        for piece in self._pieces:
            piece.left = set(piece.names)
        self._seen = Counter()
        self._early = True
        try:
            yield
        finally:
            self._early = False
        if self._parts is None:
            self._parts = self._seen

    def _send(self, piece: Piece) -> None:
        self._sent.append(average(piece.gradient, async_op=True))


def _arrived(strategy: "weakref.ref[Overlapped]", number: int, name: str, _: Tensor) -> None:
    """A hook that holds no strategy: torch keeps it where the collector does not look, and its step would live for ever."""
    if (alive := strategy()) is not None:
        alive.arrived(number, name)


def pieces(group: Group) -> list[Piece]:
    """From the last weight to the first; each, but perhaps the last of them, of at least `PIECE_BYTES`. Together they are all
    of the flat tensor, what lies between the weights included."""
    gradient = group.whole.grad
    assert gradient is not None
    found: list[Piece] = []
    names: list[str] = []
    end = gradient.numel()
    for name in reversed(group.gradients):
        names.append(name)
        start = int(group.gradients[name].storage_offset())
        if (end - start) * gradient.itemsize >= PIECE_BYTES or start == 0:
            found.append(Piece(group, tuple(names), gradient[start:end]))
            names, end = [], start
    return found
