"""Time and memory of a training step."""

import statistics
from typing import Literal

from pydantic import NonNegativeInt, model_validator

from mpcore.records.base import Bytes, Finite, Number, PositiveFloat, Record
from mpcore.records.collective import Collective
from mpcore.records.compilation import Compilation
from mpcore.records.gpu_state import GpuState
from mpcore.records.measurement import Blocks, Measurement
from mpcore.records.profile import Profile
from mpcore.records.rank import Rank, RankTime


class Reference(Record):
    """Another mode that a case was timed against.

    `rounds` are the case's own blocks that took turns with these, A B B A. Where it is None the reference was measured apart,
    and is compared with the case's `blocks`. dropped_blocks: rounds in which the GPU said that it was slowed down.
    """

    blocks: Blocks
    rounds: Blocks | None
    dropped_blocks: NonNegativeInt = 0

    @model_validator(mode="after")
    def _pairs(self) -> "Reference":
        if self.rounds is not None and len(self.rounds.seconds) != len(self.blocks.seconds):
            raise ValueError(f"{len(self.blocks.seconds)} blocks took turns with {len(self.rounds.seconds)}")
        return self


class Speed(Measurement):
    """Time and memory of one training step, and what it spends them on.

    blocks: of the case, as its execution runs it, on the slowest rank. ranks: where it is spread over several, or could be.
    eager: of the same step launched by Python, where a graph was captured.
    references: by mode; missing: by mode, why a reference could not be measured. remark: what the mode has to say of itself.
    pool_bytes: what the graph holds beside weights and optimiser, None where none was captured. ceiling_flops: per second,
    of a large matrix product in the mode's format; with gpu and profile None where there is no GPU, or no NVML.
    ceiling_bytes: per second, read and written by a large copy, None where nobody measured it.
    profile: of the rank that waits least, for the collectives of others hold their waits for it. dropped_blocks: in which the
    GPU said that it was slowed down. compilation: up to the first block, where any of it is compiled. collectives: of one step,
    where it is spread. network: what ranks talk by, and the variables that say how. launches: the same case in fresh launches
    of its ranks, where it was measured in several.
    """

    kind: Literal["speed"] = "speed"
    remark: str | None = None
    blocks: Blocks
    eager: Blocks | None
    references: dict[str, Reference]
    missing: dict[str, str] = {}
    peak_allocated_bytes: Bytes | None
    peak_reserved_bytes: Bytes | None
    pool_bytes: Bytes | None
    loss_before: Finite
    loss_after: Finite
    loss_scale: Finite
    skipped_steps: NonNegativeInt
    flops_per_step: NonNegativeInt
    low_precision_flops_share: Number
    ceiling_flops: PositiveFloat | None
    ceiling_bytes: PositiveFloat | None = None
    profile: Profile | None
    gpu: GpuState | None
    dropped_blocks: NonNegativeInt
    compilation: Compilation | None = None
    ranks: tuple[Rank, ...] | None = None
    collectives: tuple[Collective, ...] = ()
    network: dict[str, str] = {}
    launches: tuple[Blocks, ...] = ()

    @property
    def units_per_second(self) -> float:
        """On all GPUs together."""
        return self.case.gpus * self.batch_size * self.units_per_sample / self.blocks.step_seconds

    def speedup(self, reference: str) -> float | None:
        """How many times faster than `reference`: the ratio of geometric means, which is the centre of its interval."""
        other = self.references.get(reference)
        if other is None:
            return None
        ours, theirs = (
            statistics.geometric_mean(blocks.seconds) / blocks.steps for blocks in (other.rounds or self.blocks, other.blocks)
        )
        return theirs / ours

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_step / self.blocks.step_seconds

    @property
    def ceiling_share(self) -> float | None:
        """Model FLOPs utilisation, against what this GPU was measured to reach in the mode's format."""
        return None if self.ceiling_flops is None else self.flops_per_second / self.ceiling_flops

    @property
    def launch_overhead(self) -> float | None:
        """How many times longer a step takes when Python launches it."""
        return None if self.eager is None else self.eager.step_seconds / self.blocks.step_seconds

    @property
    def busy_share(self) -> float | None:
        """The share of an eager step in which the GPU computes."""
        if self.profile is None or self.device == "cpu":
            return None
        return min(1.0, self.profile.seconds / (self.eager or self.blocks).step_seconds)

    @property
    def joules_per_step(self) -> float | None:
        watts = None if self.gpu is None else self.gpu.mean_watts
        return None if watts is None else watts * self.blocks.step_seconds

    @property
    def rank_times(self) -> tuple[RankTime, ...]:
        """Of all ranks, or none."""
        found = tuple(rank.time for rank in self.ranks or () if rank.time is not None)
        return found if len(found) == len(self.ranks or ()) else ()

    @property
    def exposed_seconds(self) -> float | None:
        """Of a step in which collectives run and nothing is computed, on the rank that waits least. On the others it holds
        their waits for it, too."""
        exposed = [time.exposed for time in self.rank_times if time.exposed is not None]
        return min(exposed) if exposed else None

    @property
    def bus_bytes_per_second(self) -> float | None:
        """What each link carries a second while collectives run, on the rank that waits least. None where nobody tells how
        long they run."""
        seconds = min((time.communication or 0.0 for time in self.rank_times), default=0.0)
        sent = sum(each.bus_bytes(self.case.gpus) for each in self.collectives)
        return sent / seconds if seconds and sent else None

    @property
    def slowest_rank(self) -> tuple[int, float] | None:
        """The rank that the others wait for, whose collectives take least time, and how many times as long it computes as the
        median of all. Wall times of ranks are equal. Nor is it the one that computes longest: beside a collective that waits
        for another rank kernels take longer, too."""
        times = self.rank_times
        if len(times) < 2 or not min(time.compute for time in times):
            return None
        slowest = min(range(len(times)), key=lambda rank: times[rank].waits)
        return slowest, times[slowest].compute / statistics.median_low(time.compute for time in times)
