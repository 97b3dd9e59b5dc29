"""What has been measured of one case so far, pair by pair."""

import statistics
from dataclasses import dataclass, field

from mpcore.ab.judge import judged, margin, memory_verdict, time_verdict
from mpcore.ab.relay import Turn
from mpcore.records import Case, Compared, Failure, Pair, Profile, Status, Timing

LEAST = 3
"""Whole pairs of a case: fewer decide nothing."""


@dataclass(frozen=True)
class _Whole:
    """A pair of which both processes measured the case."""

    base: Timing
    head: Timing
    head_first: bool

    @property
    def pair(self) -> Pair:
        times = self.base.blocks.step_seconds, self.head.blocks.step_seconds
        return Pair(base_seconds=times[0], head_seconds=times[1], head_first=self.head_first)


@dataclass
class Course:
    """Pairs, and pairs that are to confirm what those say. skipped, failure: why there is nothing to say."""

    case: Case
    pairs: list[_Whole] = field(default_factory=list)
    confirmation: list[_Whole] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    skipped: str | None = None
    failure: str | None = None

    @property
    def out(self) -> bool:
        return self.skipped is not None or self.failure is not None

    def add(self, turn: Turn, first_look: int) -> None:
        """A pair counts where it is whole. Too many lost pairs before the first look, and the case has failed."""
        self._put(turn, self.pairs)
        least = min(LEAST, first_look)
        if len(self.pairs) < least and len(self.lost) > first_look - least:
            self.failure = (
                f"{len(self.lost)} of {len(self.pairs) + len(self.lost)} pairs are lost, the last one so: {self.lost[-1]}"
            )

    def confirm(self, turn: Turn) -> None:
        self._put(turn, self.confirmation)

    def status(self, confidence: float) -> Status:
        """Of the time, as it is now."""
        return judged(self._pairs, confidence, self._margin)[1] if len(self.pairs) > 1 else "undecided"

    def compared(self, confidence: float) -> Compared:
        profiles = self._profiles()
        confirmation = tuple(whole.pair for whole in self.confirmation)
        verdicts = [time_verdict(self.case, self._pairs, confirmation, confidence, self._margin, profiles)]
        pools = self._pool_bytes()
        if pools is not None:
            verdicts.append(memory_verdict(self.case, *pools))
        return Compared(
            case=self.case,
            pairs=self._pairs,
            confirmation=confirmation,
            lost=tuple(self.lost),
            pool_bytes=pools,
            verdicts=tuple(verdicts),
        )

    @property
    def _pairs(self) -> tuple[Pair, ...]:
        return tuple(whole.pair for whole in self.pairs)

    @property
    def _margin(self) -> float:
        return margin(self.pairs[0].head)

    def _put(self, turn: Turn, where: list[_Whole]) -> None:
        base, head = turn.base[self.case], turn.head[self.case]
        if isinstance(base, Timing) and isinstance(head, Timing):
            self.failure = _incomparable(base, head)
            where.append(_Whole(base, head, turn.head_first))
            return
        failures = {name: a for name, a in (("base", base), ("head", head)) if isinstance(a, Failure)}
        if len(failures) == 2 and all(failure.skipped for failure in failures.values()):
            self.skipped = failures["head"].sentence
        else:
            self.lost.append("; ".join(f"{name}: {failure.sentence}" for name, failure in failures.items()))

    def _pool_bytes(self) -> tuple[int, int] | None:
        """Of base and head: the median of the processes."""
        pools = [(w.base.pool_bytes, w.head.pool_bytes) for w in self.pairs]
        known = [(base, head) for base, head in pools if base and head]
        if not known:
            return None
        base, head = (round(statistics.median(side)) for side in zip(*known, strict=True))
        return base, head

    def _profiles(self) -> tuple[Profile, Profile] | None:
        """Of base and head, in the first pair that has both."""
        found = ((w.base.profile, w.head.profile) for w in self.confirmation)
        return next(((base, head) for base, head in found if base and head), None)


def _incomparable(base: Timing, head: Timing) -> str | None:
    """Why the times of two steps are not of the same thing, or None."""
    for name in ("device", "workload_version", "batch_size"):
        there, here = getattr(base, name), getattr(head, name)
        if there != here:
            return f"base and head are not comparable: {name.replace('_', ' ')} is {there} in base, {here} in head"
    return None
