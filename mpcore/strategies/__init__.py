"""How a step is spread over ranks, one file a strategy; importing this package registers them all."""

from mpcore.strategies.base import LossModule, Strategy, strategies
from mpcore.strategies.ddp import DataParallel, SynchronisedBatchNorm
from mpcore.strategies.fsdp import FullyShard
from mpcore.strategies.own import OwnStrategy

__all__ = ["DataParallel", "FullyShard", "LossModule", "OwnStrategy", "Strategy", "SynchronisedBatchNorm", "strategies"]
