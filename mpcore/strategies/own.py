"""`own`: a step that exists already, and is spread by what its author wrote."""

import torch

from mpcore.precision import Precision
from mpcore.records import OWN_STRATEGY
from mpcore.strategies.base import Strategy, strategies


@strategies.register
class OwnStrategy(Strategy):
    """`build()` of an own step finds the process group there and does the rest."""

    name = OWN_STRATEGY

    @classmethod
    def unsupported(cls, mode: type[Precision], optimiser: str, gpus: int, device: torch.device) -> str | None:
        return "own is the strategy of a step that exists already: expected --mp-strategy ddp or fsdp"
