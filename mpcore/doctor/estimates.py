"""What a session will take, from what accepted runs took: seconds and memory, case by case."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mpcore.records import Cost, Result, Run, Speed


@dataclass(frozen=True)
class Estimates:
    """By the name of a record, what it cost in `source`. speed: how many times as fast as the GPU of `source` this one is."""

    source: Run
    speed: float
    costs: dict[str, Cost]

    def seconds(self, name: str) -> float | None:
        """None of what `source` has not measured."""
        return self.costs[name].seconds / self.speed if name in self.costs else None

    def peak_bytes(self, name: str) -> int | None:
        return self.costs[name].peak_bytes if name in self.costs else None


def estimates(runs: Sequence[Run], key: str, ceiling: float | None) -> Estimates | None:
    """From the newest of `runs` that says what its results cost: of the hardware `key`, else of any other GPU, scaled. None
    where none does, or it cannot be scaled. ceiling: FLOP/s of a large product in BF16 on this GPU."""
    telling = [run for run in runs if any(result.cost for result in run.results)]
    own = [run for run in telling if run.machine.hardware.key == key]
    if own:
        source, speed = max(own, key=lambda run: run.datetime), 1.0
    else:
        scaled = [(run, found) for run in telling if ceiling and (found := ceiling_of(run)) is not None]
        if not scaled or not ceiling:
            return None
        source, theirs = max(scaled, key=lambda pair: pair[0].datetime)
        speed = ceiling / theirs
    return Estimates(source, speed, {result.record.name: result.cost for result in source.results if result.cost})


def ceiling_of(run: Run) -> float | None:
    """FLOP/s of a large product in BF16, as the run measured it."""
    found = list(_ceilings(run.results))
    return statistics.median(found) if found else None


def _ceilings(results: Sequence[Result]) -> Iterator[float]:
    for speed in (result.record for result in results if isinstance(result.record, Speed)):
        if speed.case.precision.startswith("bf16") and speed.ceiling_flops is not None:
            yield speed.ceiling_flops
