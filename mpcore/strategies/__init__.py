"""How a step is spread over ranks, one file a strategy; importing this package registers them all."""

from mpcore.strategies.base import LossModule, Strategy, strategies
from mpcore.strategies.ddp import DataParallel, SynchronisedBatchNorm
from mpcore.strategies.fsdp import FullyShard
from mpcore.strategies.overlapped import Overlapped
from mpcore.strategies.own import OwnStrategy
from mpcore.strategies.reduced import DataParallel16, FullyShard16

__all__ = [
    "DataParallel",
    "DataParallel16",
    "FullyShard",
    "FullyShard16",
    "LossModule",
    "Overlapped",
    "OwnStrategy",
    "Strategy",
    "SynchronisedBatchNorm",
    "strategies",
]
