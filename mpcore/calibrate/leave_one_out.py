"""What the gate says of real runs of one code, each judged against others: and what it would, if their clocks wandered."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from mpcore.calibrate.runs import Fit, fit_runs, graphs
from mpcore.gate.clocks import POWER_CAP
from mpcore.gate.common_change import common_change
from mpcore.gate.margins import Margins
from mpcore.gate.matching import BaselineMatch
from mpcore.gate.regressions import regressions
from mpcore.records import Blocks, Calibration, Case, RegressionStatus, Run, Speed
from mpcore.report.document import Section, Table

STATUSES: tuple[RegressionStatus, ...] = ("same", "undecided", "worse", "better")
WANDER = (0.0, 0.01, 0.02, 0.03)
"""Shares by which the clock of a machine start is off at most, to either side."""
WANDERINGS = 5
"""Draws of each."""


def leave_one_out(
    runs: Sequence[Run], calibration: Calibration, accepted: int, left_out: Sequence[str] = ()
) -> tuple[Counter[str], Counter[str]]:
    """The statuses of step times, and of all cases together, of each run against every choice of so many of the others. A case
    counts where all of them hold it.

    left_out: cases that are another code in one of them.
    """
    cases = [speeds for name, speeds in graphs(runs).items() if name not in left_out]
    times: Counter[str] = Counter()
    together: Counter[str] = Counter()
    for new in range(len(runs)):
        others = [number for number in range(len(runs)) if number != new]
        for chosen in itertools.combinations(others, accepted):
            matches = [
                BaselineMatch(of[new], {number: of[number] for number in chosen}) for of in cases if of.keys() >= {new, *chosen}
            ]
            found = [r for match in matches for r in regressions(match, Margins(), calibration)]
            times.update(r.status for r in found if r.metric == "step time")
            common = common_change(matches, Margins(), calibration)
            together.update([common.status] if common else [])
    return times, together


def wandered(runs: Sequence[Run], most: float, seed: int = 0) -> list[Run]:
    """The same runs, as if the clock of each machine start had been off by up to `most`, and times with it: of each case by a
    power from 0 to 1. A case that any run has at the power limit stays as it is: the limit decides its clock."""
    speeds = [result.record for run in runs for result in run.results if isinstance(result.record, Speed)]
    capped = {speed.case for speed in speeds if speed.gpu and POWER_CAP in (speed.gpu.limits or ())}
    rng = np.random.default_rng(seed)
    powers = {case: rng.uniform() for case in dict.fromkeys(speed.case for speed in speeds) if case not in capped}
    return [_at_clock(run, math.exp(rng.uniform(-most, most)), powers) for run in runs]


def wandering(runs: Sequence[Run], most: float, accepted: int) -> tuple[Counter[str], Counter[str]]:
    """What `leave_one_out` finds in all draws of clocks that are off by up to `most`, each calibrated by itself."""
    other_code = fit_runs(runs).left_out
    times: Counter[str] = Counter()
    together: Counter[str] = Counter()
    for seed in range(WANDERINGS if most else 1):
        off = wandered(runs, most, seed)
        of_times, of_all = leave_one_out(off, fit_runs(off).calibration, accepted, other_code)
        times += of_times
        together += of_all
    return times, together


def left_out_section(runs: Sequence[Run]) -> Section:
    """Leave one out over these runs, with clocks as they were and wandering."""
    accepted_at_most = max(map(len, graphs(runs).values())) - 1
    rows = [
        [f"{100 * most:g} %", str(accepted), *itertools.chain.from_iterable(map(_counted, wandering(runs, most, accepted)))]
        for most in WANDER
        for accepted in range(accepted_at_most, 0, -1)
    ]
    headings = [
        "clock off by",
        "accepted",
        *STATUSES,
        "undecided, share",
        *(f"all cases: {status}" for status in STATUSES),
        "share",
    ]
    return Section(lead="Each run judged against others of the same code:", tables=[Table(headings, rows, "r" * len(headings))])


def fit_section(fit: Fit) -> Section:
    """What was found."""
    found = fit.calibration
    figures = {"steady clock": found.steady_log_sd, "power limit": found.power_cap_log_sd, "all cases": found.shared_log_sd}
    rows = [[what, f"{100 * sd:.2g} %", str(number)] for (what, sd), number in zip(figures.items(), _numbers(fit), strict=True)]
    lead = f"{found.hardware}: {found.runs} runs on {found.gpus} GPUs differ by so much (standard deviation):"
    told = [f"not the same code, and left out: {', '.join(fit.left_out)}"] if fit.left_out else []
    return Section(lead=lead, tables=[Table(["what", "assumed", "cases"], rows)], sentences=[*told, *fit.untold])


def _numbers(fit: Fit) -> tuple[int, int, int]:
    steady, capped = len(fit.noise.steady), len(fit.noise.capped)
    return steady, capped, steady + capped


def _counted(statuses: Counter[str]) -> list[str]:
    share = 100 * statuses["undecided"] / max(1, statuses.total())
    return [*(str(statuses[status]) for status in STATUSES), f"{share:.1f} %"]


def _at_clock(run: Run, clock: float, powers: Mapping[Case, float]) -> Run:
    results = (
        result.model_copy(update={"record": _slowed(result.record, clock, powers[result.record.case])})
        if isinstance(result.record, Speed) and result.record.case in powers
        else result
        for result in run.results
    )
    return run.model_copy(update={"results": tuple(results)})


def _slowed(speed: Speed, clock: float, power: float) -> Speed:
    blocks = Blocks(steps=speed.blocks.steps, seconds=tuple(s / clock**power for s in speed.blocks.seconds))
    gpu = speed.gpu and speed.gpu.model_copy(update={"sm_mhz": tuple(round(mhz * clock) for mhz in speed.gpu.sm_mhz)})
    return speed.model_copy(update={"blocks": blocks, "gpu": gpu})
