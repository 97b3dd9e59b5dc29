"""What the simulation says, as sections of a document."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mpcore.calibrate.noise import CaseNoise, Noise
from mpcore.calibrate.simulate import CASES, Gate, Pairs, Share, Stored, detection, smallest, unchanged
from mpcore.gate.limits import MACHINE_PRIOR_LOG_SD
from mpcore.report.document import Section, Table

GATES: Sequence[Gate] = (Pairs((6,)), Pairs(), Stored(1), Stored(3), Stored(5), Stored(10))
SHOWN = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05)
SIZES = (*(n / 1000 for n in range(50)), *(n / 1000 for n in range(50, 81, 5)))
TRIALS = 1000
"""Of each case, for the detection of slowdowns."""


def simulated(noise: Noise, suites: int) -> Iterator[Section]:
    """A part at a time, for it takes long. Machine starts differ by what is assumed of them, if the traces show less."""
    noise = replace(noise, machine=max(noise.machine, MACHINE_PRIOR_LOG_SD["graph"]))
    yield Section(lead=f"Suites of {CASES} cases stopped though nothing became slower, of {suites} simulated:")
    headings = ["gate", "noise", "suites stopped", "share", "95 % interval", "cases undecided"]
    yield Section(tables=[Table(headings, list(_alarms(noise, suites)), align="llrrrr")])
    ordinary = [case for case in noise.cases if not case.odd]
    found = [{case: detection(gate, noise, case, SIZES, TRIALS, i) for i, case in enumerate(noise.cases)} for gate in GATES]
    rows = [[gate.name, *_shares([of[case] for case in ordinary])] for gate, of in zip(GATES, found, strict=True)]
    shares = Table(["gate", *(f"{100 * size:g} %" for size in SHOWN)], rows)
    yield Section(lead=f"Slowdowns found, of {TRIALS} of each of {len(ordinary)} cases:", tables=[shares])
    groups = {name: list(cases) for name, cases in itertools.groupby(noise.cases, _group)}
    rows = [[name, *(_smallest([of[case] for case in cases]) for of in found)] for name, cases in groups.items()]
    least = Table(["cases", *(gate.name for gate in GATES)], rows)
    yield Section(lead="The smallest slowdown found 95 times in 100, in per cent:", tables=[least])


def stated(share: Share) -> list[str]:
    """How many, their share, and its 95 % interval."""
    low, high = share.bounds
    return [str(share.found), f"{100 * share.share:.3g} %", f"{_percent(low)} to {_percent(high)} %"]


def _percent(share: float) -> str:
    """Two digits, and three of 100."""
    return "100" if share > 0.995 else f"{100 * share:.2g}"


def _alarms(noise: Noise, suites: int) -> Iterator[list[str]]:
    ordinary = tuple(case for case in noise.cases if not case.odd)
    noises = {"as traced": noise}
    if len(ordinary) < len(noise.cases):
        noises["no odd processes"] = replace(noise, cases=ordinary)
    noises["machine starts twice as different"] = replace(noise, machine=2 * noise.machine)
    for (label, kind), gate in itertools.product(noises.items(), GATES[1:]):
        stopped, undecided = unchanged(gate, kind, suites)
        yield [gate.name, label, *stated(stopped), f"{100 * undecided.share:.2g} %"]


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
