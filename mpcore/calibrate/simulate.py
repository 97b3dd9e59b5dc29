"""The two gates put to simulated suites. How often do they stop one that is no slower, and how large must a slowdown be? The
decisions are those of `mpcore.gate.intervals`, for many cases at once. Pairs are simulated with the noise of traces, runs with
the noise of accepted runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mpcore.calibrate.noise import Array, CaseNoise, Noise, log_medians
from mpcore.gate.intervals import odd_excess, odd_pairs
from mpcore.gate.limits import (
    COMMON_CHANGE_CASES,
    COMMON_TIME_MARGIN_PERCENT,
    CONFIRMING_CONFIDENCE,
    CONFIRMING_PAIRS,
    LOOK_CONFIDENCE,
    ODD_EXCESS,
    ONE_RUN_CONFIDENCE,
    PAIR_LOOKS,
    PAIR_TIME_MARGIN_PERCENT,
    PRIOR_RUNS,
    SAME_CONFIDENCE,
    STEP_TIME_MARGIN_PERCENT,
    WORSE_CONFIDENCE,
)

Found = NDArray[np.bool_]
MARGIN = math.log1p(PAIR_TIME_MARGIN_PERCENT["graph"] / 100)
CASES = 60
BATCH = 500
"""Suites that are held in memory at once."""
POWER = 0.95


@dataclass(frozen=True)
class Share:
    """How many of so many, with the 95 % interval of Clopper and Pearson of their share."""

    found: int
    of: int

    @property
    def share(self) -> float:
        return self.found / self.of

    @property
    def bounds(self) -> tuple[float, float]:
        interval = stats.binomtest(self.found, self.of).proportion_ci(0.95, method="exact")
        return float(interval.low), float(interval.high)


class Gate(Protocol):
    """`starts` numbers the machine start of each process that the gate needs of a case, confirmation included. The last
    `slowed` belong to what is judged."""

    @property
    def name(self) -> str: ...
    @property
    def starts(self) -> Sequence[int]: ...
    @property
    def slowed(self) -> int: ...
    def found(self, logs: Array) -> Found:
        """Whether the times of these processes (last axis, logarithms) are judged `worse`, and again when measured again."""
        ...

    def undecided(self, logs: Array) -> Found:
        """Whether they are judged to be that, in the end."""
        ...

    def stopped(self, logs: Array) -> Found:
        """Whether a suite is, by one of its cases (last axis but one) or by all of them together."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Base against head in pairs of fresh processes, looked at after each of `looks`."""

    looks: tuple[int, ...] = PAIR_LOOKS

    @property
    def name(self) -> str:
        return f"ab, {' and '.join(map(str, self.looks))} pairs"

    @property
    def slowed(self) -> int:
        return self.looks[-1] + CONFIRMING_PAIRS

    @property
    def starts(self) -> Sequence[int]:
        return [0] * (2 * self.slowed)

    def found(self, logs: Array) -> Found:
        worse, _, confirmed = self._looked(logs)
        return worse & confirmed

    def undecided(self, logs: Array) -> Found:
        worse, open_, confirmed = self._looked(logs)
        return open_ | (worse & ~confirmed)

    def stopped(self, logs: Array) -> Found:
        return np.any(self.found(logs), axis=-1)

    def _looked(self, logs: Array) -> tuple[Found, Found, Found]:
        """Whether it is worse or open after all looks, and whether fresh pairs say that it is worse."""
        changes = logs[..., self.slowed :] - logs[..., : self.slowed]
        worse, open_ = np.zeros(changes.shape[:-1], bool), np.ones(changes.shape[:-1], bool)
        for pairs in self.looks:
            seen = changes[..., :pairs]
            low, _ = bounds_of_pairs(seen, LOOK_CONFIDENCE)
            _, high = bounds_of_pairs(seen, SAME_CONFIDENCE)
            worse |= open_ & (low > MARGIN)
            open_ &= (low <= MARGIN) & ((high > MARGIN) | (odd_excess(seen, odd_pairs(seen)) >= ODD_EXCESS))
        again, _ = bounds_of_pairs(changes[..., self.looks[-1] :], CONFIRMING_CONFIDENCE)
        return worse, open_, again > MARGIN


@dataclass(frozen=True)
class Stored:
    """A run against accepted ones, each from a machine start of its own. priors: of the cases, along the last axis but one, and
    of what they share, standard deviations of logarithms. pairs: so many with the accepted commit, on the machine start of the
    new run, tell code from machine. 0 where that commit cannot be had."""

    runs: int
    priors: tuple[float, ...]
    shared_prior: float
    margin: float = math.log1p(STEP_TIME_MARGIN_PERCENT / 100)
    common_margin: float = math.log1p(COMMON_TIME_MARGIN_PERCENT / 100)
    pairs: int = 0

    @property
    def name(self) -> str:
        runs = "1 accepted run" if self.runs == 1 else f"{self.runs} accepted runs"
        return f"{runs}, then pairs" if self.pairs else runs

    @property
    def slowed(self) -> int:
        return 2 + self.pairs

    @property
    def starts(self) -> Sequence[int]:
        """Accepted runs, the accepted commit of each pair, the new run, what confirms it, and the new code of each pair."""
        return [*range(self.runs), *[self.runs] * (self.pairs + self.slowed)]

    def found(self, logs: Array) -> Found:
        surely = ONE_RUN_CONFIDENCE if self.runs == 1 and not self.pairs else WORSE_CONFIDENCE
        first, again = (self._changes(logs, i, sure)[0] for i, sure in enumerate((WORSE_CONFIDENCE, surely)))
        return (first > self.margin) & (again > self.margin) & ~self._excused(self._pairs(logs))

    def undecided(self, logs: Array) -> Found:
        low, _ = self._changes(logs, 0, WORSE_CONFIDENCE)
        _, high = self._changes(logs, 0, SAME_CONFIDENCE)
        return ((low > self.margin) | (high > self.margin)) & ~self.found(logs)

    def together(self, logs: Array) -> Found:
        """Whether all cases of a suite are judged `worse` together, which pairs of a few confirm."""
        shared = np.median(logs[..., : self.runs] - logs[..., [self.runs + self.pairs]], axis=-2)
        low, _ = bounds_since(shared, np.zeros(len(logs)), self.shared_prior)
        few = np.median(self._pairs(logs)[..., :COMMON_CHANGE_CASES, :], axis=-2)
        return (low > self.common_margin) & ~self._excused(few)

    def stopped(self, logs: Array) -> Found:
        return np.any(self.found(logs), axis=-1) | self.together(logs)

    def _changes(self, logs: Array, process: int, confidence: float) -> tuple[Array, Array]:
        """process: the first of the new run, or the one that confirms it."""
        new = logs[..., self.runs + self.pairs + process]
        return bounds_since(logs[..., : self.runs], new, np.array(self.priors), confidence)

    def _pairs(self, logs: Array) -> Array:
        """The changes from the accepted commit to the new code, pair by pair along the last axis."""
        before = logs[..., self.runs : self.runs + self.pairs]
        return logs[..., logs.shape[-1] - self.pairs :] - before

    def _excused(self, changes: Array) -> Found:
        """Whether pairs do not say that it is the code."""
        if not self.pairs:
            return np.zeros(changes.shape[:-1], bool)
        return bounds_of_pairs(changes, CONFIRMING_CONFIDENCE)[0] <= MARGIN


def bounds_of_pairs(changes: Array, confidence: float) -> tuple[Array, Array]:
    """`change_of_pairs` of `mpcore.gate.intervals` along the last axis, of the logarithms of ratios that are not odd."""
    usual = np.where(odd_pairs(changes), np.nan, changes)
    count = np.isfinite(usual).sum(axis=-1)
    half = stats.t.ppf(confidence, count - 1) * np.nanstd(usual, axis=-1, ddof=1) / np.sqrt(count)
    centre = np.nanmean(usual, axis=-1)
    return centre - half, centre + half


def bounds_since(
    accepted: Array, new: Array, prior: Array | float, confidence: float = WORSE_CONFIDENCE
) -> tuple[Array, Array]:
    """`change_since` of `mpcore.gate.intervals` along the last axis, of logarithms."""
    runs = accepted.shape[-1]
    freedom = PRIOR_RUNS + runs - 1
    spread = np.sqrt((PRIOR_RUNS * prior**2 + accepted.var(axis=-1) * runs) / freedom)
    half = stats.t.ppf(confidence, freedom) * spread * np.sqrt(1 + 1 / runs)
    centre = new - accepted.mean(axis=-1)
    return centre - half, centre + half


Draw = Callable[[np.random.Generator, int], Array]
"""What the processes of so many suites report, of each case: suites x cases x processes."""


def unchanged(gate: Gate, draw: Draw, suites: int, seed: int = 0) -> tuple[Share, Share]:
    """Of suites in which nothing became slower: those that are stopped, and of their cases those that are undecided."""
    rng = np.random.default_rng(seed)
    stopped = undecided = cases = 0
    for done in range(0, suites, BATCH):
        logs = draw(rng, min(BATCH, suites - done))
        stopped += int(gate.stopped(logs).sum())
        undecided += int(gate.undecided(logs).sum())
        cases += logs.shape[0] * logs.shape[1]
    return Share(stopped, suites), Share(undecided, cases)


def detection(gate: Gate, draw: Draw, sizes: Sequence[float], trials: int, seed: int = 0) -> list[Share]:
    """How often a slowdown of each size (0.02: 2 % longer) is found in a case, of the same simulated measurements."""
    logs = draw(np.random.default_rng(seed), trials)
    slowed = _slowed(gate)
    found = [gate.found(logs + np.log1p(size) * slowed) for size in sizes]
    return [Share(int(of.sum()), of.size) for of in found]


def detection_together(gate: Stored, draw: Draw, size: float, trials: int, seed: int = 0) -> Share:
    """How often a slowdown of all cases at once is found, by what they share."""
    logs = draw(np.random.default_rng(seed), trials)
    return Share(int(gate.together(logs + np.log1p(size) * _slowed(gate)).sum()), trials)


def smallest(sizes: Sequence[float], shares: Sequence[float]) -> float | None:
    """The size from which on 95 of 100 are found, between sizes by interpolation; None if they never are."""
    missed = [i for i, share in enumerate(shares) if share < POWER]
    if not missed:
        return sizes[0]
    last = missed[-1]
    if last + 1 == len(sizes):
        return None
    return float(np.interp(POWER, shares[last : last + 2], sizes[last : last + 2]))


def traced(gate: Gate, noise: Noise, cases: int = CASES) -> Draw:
    """As traces show it: so many cases, taken from `noise` in turn."""
    times = [len(range(index, cases, len(noise.cases))) for index in range(len(noise.cases))]

    def draw(rng: np.random.Generator, suites: int) -> Array:
        machines = noise.machine * rng.standard_normal((suites, 1, max(gate.starts) + 1))
        logs = [_measured(rng, gate, case, noise, machines, n) for case, n in zip(noise.cases, times, strict=True) if n]
        return np.concatenate(logs, axis=1)

    return draw


def _slowed(gate: Gate) -> Found:
    return np.arange(len(gate.starts)) >= len(gate.starts) - gate.slowed


def _measured(rng: np.random.Generator, gate: Gate, case: CaseNoise, noise: Noise, machines: Array, times: int) -> Array:
    """Of `times` cases like this in each suite: what their processes report."""
    processes = log_medians(rng, case, noise, (len(machines), times, len(gate.starts)))
    return processes + machines[..., list(gate.starts)]
