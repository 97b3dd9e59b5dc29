"""How a step scales: cases on several GPUs beside the same on one, measured in the same run."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mpcore.records import Case, Result, Speed


@dataclass(frozen=True)
class Scaled:
    """A step that is spread over GPUs. weak: the same on one, with the batch of each of them. strong: on one with the batch of
    all. None each where it was not measured. A step on one GPU stands beside itself."""

    speed: Speed
    weak: Speed | None
    strong: Speed | None

    @property
    def weak_efficiency(self) -> float | None:
        """Throughput on n GPUs, as a share of n times the throughput of one with the batch of each."""
        return _efficiency(self.speed, self.weak)

    @property
    def strong_efficiency(self) -> float | None:
        """The same of one with the batch of all: how much of n times as fast it is."""
        return _efficiency(self.speed, self.strong)

    @property
    def rest_seconds(self) -> float | None:
        """Of a step in which a GPU neither computes nor waits for others: gaps between kernels, and waits for slower ranks."""
        exposed, times = self.speed.exposed_seconds, self.speed.rank_times
        if exposed is None:
            return None
        return max(0.0, self.speed.blocks.step_seconds - max(time.compute for time in times) - exposed)


def scaled(results: Iterable[Result]) -> list[Scaled]:
    """All that are spread, and those on one GPU that they stand beside, before them. Empty where none is spread."""
    speeds = [result.record for result in results if isinstance(result.record, Speed)]
    alone = [speed for speed in speeds if not speed.case.spread]
    spread = [speed for speed in speeds if speed.case.spread]
    found = [Scaled(s, _beside(s, alone, s.batch_size), _beside(s, alone, s.batch_size * s.case.gpus)) for s in spread]
    beside = {id(one): one for each in found for one in (each.weak, each.strong) if one is not None}
    return [*(Scaled(one, one, None) for one in beside.values()), *found]


def launch_spread(speed: Speed) -> float | None:
    """How much longer a step takes in the slowest of fresh launches than in the fastest, as a share."""
    found = [blocks.step_seconds for blocks in (speed.blocks, *speed.launches)]
    return max(found) / min(found) - 1 if speed.launches else None


def pair_deviation(speed: Speed) -> float | None:
    """Standard deviation of the ratio of two launches that follow each other, as a share; None of fewer than two pairs."""
    found = [blocks.step_seconds for blocks in (speed.blocks, *speed.launches)]
    ratios = [second / first for first, second in pairwise(found)]
    return statistics.stdev(ratios) if len(ratios) > 1 else None


def _efficiency(speed: Speed, one: Speed | None) -> float | None:
    return None if one is None else speed.units_per_second / (speed.case.gpus * one.units_per_second)


def _beside(speed: Speed, alone: Sequence[Speed], batch_size: int) -> Speed | None:
    """The same on one GPU with so large a batch."""
    wanted = _but_for_spread(speed.case)
    return next((one for one in alone if _but_for_spread(one.case) == wanted and one.batch_size == batch_size), None)


def _but_for_spread(case: Case) -> Case:
    return case.model_copy(update={"strategy": "single", "gpus": 1, "batch_size": None})
