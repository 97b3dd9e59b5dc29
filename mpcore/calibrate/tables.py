"""What the simulation says, as sections of a document."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mpcore.calibrate.noise import CaseNoise, Noise
from mpcore.calibrate.runs import RunNoise, draw_runs
from mpcore.calibrate.simulate import (
    CASES,
    Pairs,
    Share,
    Stored,
    detection,
    detection_together,
    smallest,
    traced,
    unchanged,
)
from mpcore.gate.limits import CONFIRMING_PAIRS
from mpcore.gate.priors import shared_prior_log_sd
from mpcore.records import Calibration
from mpcore.report.document import Section, Table

PAIRS: Sequence[Pairs] = (Pairs((6,)), Pairs())
RUNS = (1, 2, 3, 4, 10)
ALARM_GATES = [(runs, 0) for runs in RUNS] + [(runs, CONFIRMING_PAIRS) for runs in (1, 3)]
"""Accepted runs, and pairs with the accepted commit."""
SHOWN = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)
SIZES = (*(n / 1000 for n in range(50)), *(n / 1000 for n in range(50, 81, 5)))
TOGETHER = 0.015
TRIALS = 1000
"""Of each case, for the detection of slowdowns."""
ODD_SHARE = 1 / 6
"""Of the processes of one case."""
_ALARMS = f"Suites of {CASES} cases stopped though nothing became slower, of {{suites}} simulated:"
_HEADINGS = ["gate", "noise", "suites stopped", "share", "95 % interval", "cases undecided"]
Kinds = Mapping[str, tuple[Calibration, RunNoise]]
"""What is assumed and what was seen of kinds of GPUs."""


def simulated(noise: Noise, kinds: Kinds, suites: int) -> Iterator[Section]:
    """A part at a time, for it takes long. noise: of pairs. kinds: of runs."""
    yield Section(lead=_ALARMS.format(suites=suites))
    rows = [*_alarms_of_pairs(noise, suites), *_alarms_of_runs(kinds, suites)]
    yield Section(tables=[Table(_HEADINGS, rows, align="llrrrr")])
    yield from _found_by_pairs(noise)
    yield from _found_by_runs(kinds)


def simulated_runs(kinds: Kinds, suites: int) -> Iterator[Section]:
    """The same of runs alone."""
    yield Section(lead=_ALARMS.format(suites=suites), tables=[Table(_HEADINGS, list(_alarms_of_runs(kinds, suites)), "llrrrr")])
    yield from _found_by_runs(kinds)


def stated(share: Share) -> list[str]:
    """How many, their share, and its 95 % interval."""
    low, high = share.bounds
    return [str(share.found), f"{100 * share.share:.3g} %", f"{_percent(low)} to {_percent(high)} %"]


def _percent(share: float) -> str:
    """Two digits, and three of 100."""
    return "100" if share > 0.995 else f"{100 * share:.2g}"


def _alarms_of_pairs(noise: Noise, suites: int) -> Iterator[list[str]]:
    ordinary = tuple(case for case in noise.cases if not case.odd)
    noises = {"as traced": noise}
    if len(ordinary) < len(noise.cases):
        noises["no odd processes"] = replace(noise, cases=ordinary)
    for label, kind in noises.items():
        yield _alarm(PAIRS[-1].name, label, unchanged(PAIRS[-1], traced(PAIRS[-1], kind), suites))


def _alarms_of_runs(kinds: Kinds, suites: int) -> Iterator[list[str]]:
    for name, (calibration, noise) in kinds.items():
        suite = noise.suite(CASES)
        others = {"": (False, 0.0), ", heavy tails": (True, 0.0), ", one case with odd processes": (False, ODD_SHARE)}
        for (label, (heavy, odd)), (runs, pairs) in itertools.product(others.items(), ALARM_GATES):
            gate = gate_of(calibration, suite, runs, pairs)
            draw = draw_runs(noise, suite, runs, pairs=pairs, heavy=heavy, odd=odd)
            yield _alarm(gate.name, name + label, unchanged(gate, draw, suites))


def gate_of(calibration: Calibration, suite: tuple[int, int], runs: int, pairs: int = 0) -> Stored:
    """A suite of so many steady and capped cases against so many accepted runs, confirmed by so many pairs."""
    steady, capped = suite
    priors = (calibration.steady_log_sd,) * steady + (calibration.power_cap_log_sd,) * capped
    return Stored(runs, priors, shared_prior_log_sd(priors, calibration), pairs=pairs)


def _alarm(gate: str, noise: str, found: tuple[Share, Share]) -> list[str]:
    stopped, undecided = found
    return [gate, noise, *stated(stopped), f"{100 * undecided.share:.2g} %"]


def _found_by_pairs(noise: Noise) -> Iterator[Section]:
    ordinary = [case for case in noise.cases if not case.odd]
    found = [
        {
            case: detection(gate, traced(gate, replace(noise, cases=(case,)), 1), SIZES, TRIALS, i)
            for i, case in enumerate(noise.cases)
        }
        for gate in PAIRS
    ]
    rows = [[gate.name, *_shares([of[case] for case in ordinary])] for gate, of in zip(PAIRS, found, strict=True)]
    shares = Table(["gate", *(f"{100 * size:g} %" for size in SHOWN)], rows)
    yield Section(lead=f"Slowdowns found by ab, of {TRIALS} of each of {len(ordinary)} cases:", tables=[shares])
    groups = {name: list(cases) for name, cases in itertools.groupby(noise.cases, _group)}
    rows = [[name, *(_smallest([of[case] for case in cases]) for of in found)] for name, cases in groups.items()]
    least = Table(["cases", *(gate.name for gate in PAIRS)], rows)
    yield Section(lead="The smallest slowdown that ab finds 95 times in 100, in per cent:", tables=[least])


def _found_by_runs(kinds: Kinds) -> Iterator[Section]:
    shares, least, together = [], [], []
    for name, (calibration, noise) in kinds.items():
        for paced, suite in zip(("steady clock", "power limit"), _one_pace(noise), strict=True):
            if not sum(suite):
                continue
            found = [
                detection(gate_of(calibration, suite, runs), draw_runs(noise, suite, runs), SIZES, TRIALS) for runs in RUNS
            ]
            label = f"{name}, {paced}"
            shares += [[label, str(runs), *_shares([of])] for runs, of in zip(RUNS, found, strict=True)]
            least.append([label, *(_smallest([of]) for of in found)])
        suite = noise.suite(CASES)
        gates = [gate_of(calibration, suite, runs) for runs in RUNS]
        all_at_once = [detection_together(g, draw_runs(noise, suite, g.runs), TOGETHER, TRIALS) for g in gates]
        together.append([name, *(f"{100 * share.share:.3g}" for share in all_at_once)])
    numbers = [f"{runs} accepted" for runs in RUNS]
    headings = ["cases", "accepted runs", *(f"{100 * size:g} %" for size in SHOWN)]
    yield Section(lead="Slowdowns of one case found against accepted runs, of 100:", tables=[Table(headings, shares)])
    lead = "The smallest slowdown found against accepted runs 95 times in 100, in per cent:"
    yield Section(lead=lead, tables=[Table(["cases", *numbers], least)])
    lead = f"Slowdowns of {100 * TOGETHER:g} % in all cases at once found, of 100:"
    yield Section(lead=lead, tables=[Table(["kind of GPU", *numbers], together)])


def _one_pace(noise: RunNoise) -> tuple[tuple[int, int], tuple[int, int]]:
    """Suites of all cases of one pace."""
    return (len(noise.steady), 0), (0, len(noise.capped))


def _group(case: CaseNoise) -> str:
    return f"{case.name}, with odd processes" if case.odd else case.name.split("/")[0]


def _shares(cases: Sequence[Sequence[Share]]) -> list[str]:
    return [f"{_found([of[SIZES.index(size)] for of in cases]):.3g}" for size in SHOWN]


def _smallest(cases: Sequence[Sequence[Share]]) -> str:
    size = smallest(SIZES, [_found(of) / 100 for of in zip(*cases, strict=True)])
    return f"more than {100 * SIZES[-1]:g}" if size is None else f"{100 * size:.2f}"


def _found(shares: Sequence[Share]) -> float:
    """Per cent."""
    return 100 * sum(s.found for s in shares) / sum(s.of for s in shares)
