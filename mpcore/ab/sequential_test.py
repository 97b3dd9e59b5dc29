"""What has been measured of one case so far, pair by pair, and what it means."""

import statistics
from collections import Counter
from dataclasses import dataclass, field

from mpcore.ab.scheduler import PairResult
from mpcore.ab.verdicts import interrupted_regression, judged, memory_regression, time_margin, time_regression
from mpcore.gate.limits import CONFIRMING_PAIRS, LEAST_PAIRS, LOOK_CONFIDENCE, PAIR_LOOKS
from mpcore.gate.margins import Margins
from mpcore.records import Case, Failure, Pair, PairedCase, Profile, RegressionStatus, Timing

HUNG_PAIRS = 2
"""That a case fails with: each waits until a process counts as hung."""


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
class SequentialTest:
    """Pairs of one case, and pairs that are to confirm what those say. skipped, failure: why there is nothing to say. earlier:
    what an interrupted comparison had of it."""

    case: Case
    margins: Margins
    earlier: PairedCase | None = None
    pairs: list[_Whole] = field(default_factory=list)
    confirmation: list[_Whole] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    lost_by: Counter[str] = field(default_factory=Counter)
    hung: int = 0
    unconfirmed: int = 0
    retried: bool = False
    skipped: str | None = None
    failure: str | None = None

    def __post_init__(self) -> None:
        if self.earlier is not None:
            self.lost = [*self.earlier.lost]
            sides = [[side for side in ("base", "head") if said.startswith(f"{side}: ")] for said in self.lost]
            self.lost_by.update(side for of in sides for side in of)

    @property
    def count(self) -> int:
        """Of pairs, whole or lost."""
        return len(self._pairs) + len(self.lost)

    def decided(self) -> bool:
        """Whether no more pairs are needed. Between two looks nothing is decided."""
        if self.out or self.count == PAIR_LOOKS[-1]:
            return True
        return self.count in PAIR_LOOKS and self.status() != "undecided"

    def settled(self) -> bool:
        """Whether nothing more is to be measured of it, fresh pairs that confirm it included."""
        if self.out or not self.decided():
            return self.out
        if self.blind() and not self.retried:
            return False
        confirmed = len(self.confirmation) + self.unconfirmed >= CONFIRMING_PAIRS
        return confirmed or self.status() != "worse"

    @property
    def out(self) -> bool:
        """Whether it is measured no more."""
        return self.skipped is not None or self.failure is not None

    def add(self, result: PairResult, first_look: int) -> None:
        """A pair counts where it is whole. Too many lost pairs before the first look, or two that hung: the case has failed."""
        self._put(result, self.pairs)
        if self.hung >= HUNG_PAIRS:
            self.failure = f"{self.hung} pairs are lost, the last one so: {self.lost[-1]}"
        least = min(LEAST_PAIRS, first_look)
        if len(self._pairs) < least and len(self.lost) > first_look - least:
            self.failure = f"{len(self.lost)} of {self.count} pairs are lost, the last one so: {self.lost[-1]}"

    def confirm(self, result: PairResult) -> None:
        """The same for a pair that is to confirm the others."""
        before = len(self.lost)
        self._put(result, self.confirmation)
        self.unconfirmed += len(self.lost) - before

    @property
    def unreliable(self) -> str | None:
        """What is to be said of a head that crashes now and then, and base does not: it is not the same. None where it is not
        so."""
        more = self.lost_by["head"] - self.lost_by["base"]
        if self.out or more <= 0:
            return None
        of = len(self._pairs) + len(self.confirmation) + len(self.lost)
        return (
            f"head lost {self.lost_by['head']} of {of} pairs, and base {self.lost_by['base']}. The last one so: {self.lost[-1]}"
        )

    def blind(self) -> bool:
        """Whether it can be slower by more than must be excluded."""
        return not self.out and self.paired_case().regressions[0].status == "blind"

    def again(self) -> None:
        """Fresh pairs take the place of those that there are."""
        self.earlier, self.pairs, self.confirmation, self.unconfirmed = None, [], [], 0
        self.lost, self.lost_by = [], Counter()
        self.retried = True

    def status(self) -> RegressionStatus:
        """Of the time, as it is now."""
        return judged(self._pairs, LOOK_CONFIDENCE, self._time_margin)[1] if len(self._pairs) > 1 else "undecided"

    def interrupted_case(self) -> PairedCase:
        """As far as it has come: what is open is undecided, whatever its pairs say."""
        if self.settled():
            return self.paired_case()
        said = f"interrupted after {self.count} of up to {PAIR_LOOKS[-1]} pairs"
        if len(self._pairs) < 2:
            time = interrupted_regression(self.case, said)
            return PairedCase(case=self.case, pairs=self._pairs, lost=tuple(self.lost), regressions=(time,), open=True)
        found = self.paired_case()
        time, *others = found.regressions
        time = time.model_copy(update={"status": "undecided", "sentence": f"{time.sentence}; {said}"})
        return found.model_copy(update={"regressions": (time, *others), "open": True})

    def paired_case(self, confidence: float = LOOK_CONFIDENCE) -> PairedCase:
        """All of it as a record. Needs two pairs at least."""
        confirmation = tuple(whole.pair for whole in self.confirmation)
        margins = self._time_margin, self._profiles(), self.margins.pair_blind
        time = time_regression(self.case, self._pairs, confirmation, confidence, *margins)
        pools = self._pool_bytes()
        memory = [] if pools is None else [memory_regression(self.case, *pools, self.margins.pair_memory)]
        return PairedCase(
            case=self.case,
            pairs=self._pairs,
            confirmation=confirmation,
            lost=tuple(self.lost),
            pool_bytes=pools,
            regressions=(time, *memory),
        )

    @property
    def _pairs(self) -> tuple[Pair, ...]:
        earlier = self.earlier.pairs if self.earlier else ()
        return (*earlier, *(whole.pair for whole in self.pairs))

    @property
    def _time_margin(self) -> float:
        measured = next(iter((*self.pairs, *self.confirmation)), None)
        if measured is not None:
            return time_margin(measured.head, self.margins)
        known = self.earlier.regressions[0].limit if self.earlier else None
        return known or 0.0

    def _put(self, result: PairResult, where: list[_Whole]) -> None:
        base, head = result.base[self.case], result.head[self.case]
        if isinstance(base, Timing) and isinstance(head, Timing):
            self.failure = _incomparable(base, head)
            where.append(_Whole(base, head, result.head_first))
            return
        failures = {name: a for name, a in (("base", base), ("head", head)) if isinstance(a, Failure)}
        if len(failures) == 2 and all(failure.skipped for failure in failures.values()):
            self.skipped = failures["head"].sentence
        else:
            self.lost.append("; ".join(f"{name}: {failure.sentence}" for name, failure in failures.items()))
            self.lost_by.update(failures.keys())
            self.hung += any(failure.hung for failure in failures.values())

    def _pool_bytes(self) -> tuple[int, int] | None:
        """Of base and head: the median of the processes."""
        pools = [(w.base.pool_bytes, w.head.pool_bytes) for w in self.pairs]
        known = [(base, head) for base, head in pools if base and head]
        if not known:
            return self.earlier.pool_bytes if self.earlier else None
        base, head = (round(statistics.median(of)) for of in zip(*known, strict=True))
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
