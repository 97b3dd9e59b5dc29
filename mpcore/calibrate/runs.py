"""How far runs of one code differ: fitted to accepted runs, and drawn for the simulation.

    shortest block of a case in a run = case + what all cases of the run share + what the run has of its own

Half of the variance that a run has of its own is its process's, which a second measurement on the same machine start draws
anew. Between processes of one start 0.08 to 0.1 % was seen, of the 0.14 to 0.18 % between runs. At the power limit it was 20 to
62 % of the variance.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from mpcore.calibrate.noise import Array
from mpcore.calibrate.simulate import Draw, Stored
from mpcore.gate.clocks import at_one_clock, still_clocks
from mpcore.gate.intervals import pooled_deviation
from mpcore.gate.limits import (
    LEAST_CALIBRATION_GPUS,
    LEAST_CALIBRATION_RUNS,
    SHARED_PRIOR_LOG_SD,
    UNSTEADY_PRIOR_LOG_SD,
)
from mpcore.gate.matching import match_baselines
from mpcore.gate.priors import Pace, pace
from mpcore.gate.regressions import how_run
from mpcore.records import Calibration, Run, Speed
from mpcore.store import RunError

OTHER = 0.02
"""Share. A case that differs by more between two runs, beyond what all cases share, is not the same code, or has odd
processes."""
ROUNDED_TO = 5e-4
"""Deviations are known to no more than this."""
TAIL_FREEDOM = 1.6
"""Degrees of freedom that the deviation of all cases lends to one. They belong to a scaled inverse chi-square distribution that
fits how the deviations of cases differ (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004)."""
PROCESS_SHARE = 0.5
"""Of the variance between runs."""
POLISHES = 50
"""Rounds, after which what all cases share moves no more."""
ODD_SHIFT = -0.053
"""The change of an odd process, whose kernels were chosen differently: one of 560 was seen."""


@dataclass(frozen=True)
class RunNoise:
    """Between runs of one kind of GPU. steady, capped: the standard deviations of its cases, of logarithms, by what paces them,
    each of so many degrees of freedom on average. shared: the deviation of what all cases of a run share."""

    steady: tuple[float, ...]
    capped: tuple[float, ...]
    shared: float
    freedom: int

    def suite(self, cases: int) -> tuple[int, int]:
        """Of so many cases, those whose clock stands still and those at the power limit, as many as there are here."""
        steady = round(cases * len(self.steady) / (len(self.steady) + len(self.capped)))
        return steady, cases - steady


def draw_runs(
    noise: RunNoise, suite: tuple[int, int], runs: int, *, pairs: int = 0, heavy: bool = False, odd: float = 0.0
) -> Draw:
    """What a suite's accepted runs, the new one, a second measurement of it and pairs report, in the order of `Stored.starts`.
    Steady cases come first, then capped ones.

    heavy: the deviation of a case is drawn anew in each suite from what is known of it; else it is the middle of that. odd: the
    share of processes of the first case that are faster by `ODD_SHIFT`.
    """
    starts = Stored(runs, (), 0.0, pairs=pairs).starts

    def draw(rng: np.random.Generator, suites: int) -> Array:
        deviations = [
            _deviations(rng, of, noise.freedom, (suites, n), heavy) for of, n in zip(_kinds(noise), suite, strict=True)
        ]
        shape = suites, sum(suite), len(starts)
        own = math.sqrt(1 - PROCESS_SHARE) * rng.standard_normal(shape)[..., starts]
        own += math.sqrt(PROCESS_SHARE) * rng.standard_normal(shape)
        logs = np.concatenate(deviations, axis=1)[..., None] * own
        logs[:, 0] += ODD_SHIFT * (rng.random((suites, len(starts))) < odd)
        return logs + noise.shared * rng.standard_normal((suites, 1, runs + 1))[..., starts]

    return draw


def _kinds(noise: RunNoise) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return noise.steady, noise.capped


def _deviations(rng: np.random.Generator, seen: Sequence[float], freedom: int, shape: tuple[int, int], heavy: bool) -> Array:
    """Of as many cases, taken from those seen in turn, in each suite."""
    if not seen:
        return np.zeros(shape)
    squares = freedom * np.resize(np.square(seen), shape[1]) + TAIL_FREEDOM * float(np.mean(np.square(seen)))
    left = freedom + TAIL_FREEDOM
    found: Array = np.sqrt(squares / (rng.chisquare(left, shape) if heavy else np.full(shape, left)))
    return found


@dataclass(frozen=True)
class Fit:
    """left_out: cases that differ by more than runs of one code do. untold: what runs do not tell, a sentence each."""

    calibration: Calibration
    noise: RunNoise
    left_out: tuple[str, ...]
    untold: tuple[str, ...]


def joined_parts(runs: Iterable[Run]) -> list[Run]:
    """With parts of a suite, which were accepted together and share no case, as one run, in the place of the first. runs: of
    one kind of GPU, oldest first."""
    found: list[Run] = []
    for run in runs:
        if found and _are_parts(found[-1], run):
            found[-1] = found[-1].model_copy(update={"results": (*found[-1].results, *run.results)})
        else:
            found.append(run)
    return found


def _are_parts(one: Run, other: Run) -> bool:
    together = one.accepted and other.accepted and one.accepted.datetime == other.accepted.datetime
    first, second = ({result.record.name for result in run.results} for run in (one, other))
    return bool(together) and one.commit == other.commit and not first & second


def fit_runs(runs: Sequence[Run]) -> Fit:
    """How far these runs, of one kind of GPU, differ. Raises RunError for fewer than three, and where no case is in three."""
    hardware = runs[0].machine.hardware.key
    if len(runs) < LEAST_CALIBRATION_RUNS:
        raise RunError(f"{hardware}: {len(runs)} accepted runs: expected {LEAST_CALIBRATION_RUNS} at least of one code")
    cases = graphs(runs)
    if not cases:
        raise RunError(
            f"{hardware}: no case is a graph in {LEAST_CALIBRATION_RUNS} of {len(runs)} accepted runs: "
            "expected one whose times differ"
        )
    used = sorted(set().union(*cases.values()))
    logs = np.array([_logs(of, used) for of in cases.values()])
    held = ~np.isnan(logs)
    shared, changes = _shared(logs), logs - np.nanmean(logs, axis=1, keepdims=True)
    other_code = np.nanmax(changes - shared, axis=1) - np.nanmin(changes - shared, axis=1) > OTHER
    kept: dict[Pace, list[Array]] = defaultdict(list)
    for of_case, of, there in compress(zip(cases.values(), changes, held, strict=True), ~other_code):
        speeds = list(of_case.values())
        kept["steady" if still_clocks(speeds) else pace(speeds)].append(of[there])
    gpus = len({runs[number].machine.hardware.uuid for number in used})
    unsteady = max(UNSTEADY_PRIOR_LOG_SD, _rounded(kept["unsteady"]))
    least = unsteady if gpus < LEAST_CALIBRATION_GPUS else ROUNDED_TO
    most = [_holds_most(number, len(cases)) for number in held.sum(axis=0)]
    own_shared = float(shared[most].std(ddof=1)) if sum(most) >= LEAST_CALIBRATION_RUNS else unsteady
    calibration = Calibration(
        hardware=hardware,
        runs=len(used),
        gpus=gpus,
        steady_log_sd=max(least, _rounded(kept["steady"]) or unsteady),
        power_cap_log_sd=max(least, _rounded(kept["power cap"]) or unsteady),
        unsteady_log_sd=unsteady,
        shared_log_sd=max(SHARED_PRIOR_LOG_SD, own_shared),
    )
    own = {key: tuple(round(float(of.std(ddof=1)), 6) for of in kept[key]) for key in kept}
    freedom = round(float(np.mean(held.sum(axis=1) - 1)))
    noise = RunNoise(own.get("steady", ()), own.get("power cap", ()), own_shared, freedom)
    untold = (_untold(run, sum(number in of for of in cases.values()), len(cases)) for number, run in enumerate(runs))
    return Fit(calibration, noise, tuple(compress(cases, other_code)), tuple(filter(None, untold)))


def graphs(runs: Sequence[Run]) -> Mapping[str, Mapping[int, Speed]]:
    """The cases that are graphs, and comparable in three runs at least, by their names: what runs have, by their numbers. What
    is comparable with the newest run of a case counts."""
    newest: dict[str, Speed] = {}
    for run in reversed(runs):
        for record in _graphs_of(run):
            newest.setdefault(record.case.id, record)
    found = {
        name: {number: old for number, old in match_baselines(record, runs).accepted.items() if isinstance(old, Speed)}
        for name, record in newest.items()
    }
    return {name: of for name, of in found.items() if len(of) >= LEAST_CALIBRATION_RUNS}


def _graphs_of(run: Run) -> list[Speed]:
    return [r.record for r in run.results if isinstance(r.record, Speed) and how_run(r.record) == "graph"]


def _untold(run: Run, held: int, cases: int) -> str:
    """What a run does not tell that holds so many of the cases; "" where it holds most."""
    if _holds_most(held, cases):
        return ""
    if held:
        return f"{run.path} holds {held} of {cases} cases: it tells nothing of what all share"
    few = f"each of its graphs is comparable in fewer than {LEAST_CALIBRATION_RUNS} runs"
    return f"{run.path} is left out: {few if _graphs_of(run) else 'it holds no graph'}"


def _holds_most(held: int, cases: int) -> bool:
    """Whether a run with so many of the cases tells what all share: one of a single workload tells of that."""
    return 2 * held > cases


def _shared(logs: Array) -> Array:
    """What all cases of each run share, but for a constant: the medians of what cases have beyond their own level.

    logs: a row for each case, nan in runs without it. Where such are, levels and medians depend on each other, and are fitted
    in turn (a polish: Tukey, "Exploratory Data Analysis", 1977).
    """
    shared = np.zeros(logs.shape[1])
    for _ in range(POLISHES):
        beyond = logs - shared
        shared += np.nanmedian(beyond - np.nanmean(beyond, axis=1, keepdims=True), axis=0)
    return shared


def _logs(speeds: Mapping[int, Speed], numbers: Sequence[int]) -> Array:
    """Of the shortest blocks in runs of these numbers, nan in those without any."""
    found = dict(zip(speeds, _at_one_clock(list(speeds.values())), strict=True))
    return np.array([found.get(number, math.nan) for number in numbers])


def _at_one_clock(speeds: Sequence[Speed]) -> Array:
    """Logarithms of the shortest blocks, put at one clock where their clocks are known. To fit a power of the clock takes one
    degree of freedom, which the deviation is scaled for."""
    logs = np.log([speed.blocks.least_step_seconds for speed in speeds])
    clocks = still_clocks(speeds)
    if not clocks:
        return logs
    fitted, runs = at_one_clock(logs, np.log(clocks)), len(logs)
    found: Array = fitted.mean() + (fitted - fitted.mean()) * math.sqrt((runs - 1) / (runs - 2))
    return found


def _rounded(of_cases: Sequence[Array]) -> float:
    """The deviation of these, pooled over cases and rounded up; 0 where there are none, and nothing is known."""
    if not of_cases:
        return 0.0
    pooled = pooled_deviation([of.tolist() for of in of_cases]).value
    return round(ROUNDED_TO * math.ceil(pooled / ROUNDED_TO), 6)


KINDS = {
    "nvidia-h100-80gb-hbm3": RunNoise(
        steady=(
            0.00081, 0.00308, 0.003, 0.00191, 0.00248, 0.00224, 0.00293, 0.00222, 0.00269, 0.00103, 0.00105, 0.0012, 0.00099,
            0.00158, 0.00032, 0.00083, 0.00094, 0.00086, 0.00105, 0.00136, 0.00176, 0.00197, 0.00273, 0.0021, 0.00129, 0.00173,
            0.00267, 0.00316, 0.00327, 0.00099, 0.00079, 0.00194, 0.00032, 0.00106, 0.00067, 0.00079, 0.001, 0.00055, 0.00051,
            0.00353, 0.00269,
        ),
        capped=(
            0.00163, 0.00242, 0.00257, 0.00354, 0.00212, 0.00302, 0.00191, 0.00041, 0.0008, 0.00185, 0.00505, 0.00476, 0.00442,
        ),
        shared=0.00056,
        freedom=3,
    ),
    "nvidia-h200": RunNoise(
        steady=(
            0.00028, 0.00238, 0.00085, 0.00109, 0.00081, 0.00048, 0.00115, 0.00104, 0.0017, 0.0011, 0.00053, 0.00167, 0.00134,
            0.00072, 0.00154, 0.00213, 0.00234, 0.00202, 0.00097, 0.00039, 0.00132, 0.00182, 0.00165, 0.00154, 0.00097, 0.00123,
            0.00262, 0.00165, 0.00146, 0.00181, 0.00106, 0.00017, 0.00095, 0.00094, 0.00068,
        ),
        capped=(
            0.00185, 0.00068, 0.00288, 0.00083, 0.00096, 0.0013, 0.00118, 0.00093, 0.00442, 0.00514, 0.00275, 0.00318, 0.00148,
            0.00086, 0.00122, 0.00208, 0.00129, 0.0063, 0.00453, 0.00532,
        ),
        shared=0.00015,
        freedom=3,
    ),
}  # fmt: skip
"""What `fit_runs` finds in the first four accepted runs of each: graphs, torch 2.11, four GPUs of each kind."""
