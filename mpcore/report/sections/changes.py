"""What changed from one run of a machine to another: its software, then figures by how much they changed, then why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.gate import match_baselines
from mpcore.kernels.difference import explain_difference
from mpcore.records import AnyRecord, Result, Run, Speed
from mpcore.report.alike import named_once
from mpcore.report.change import Change, changes_of
from mpcore.report.document import Section, Table
from mpcore.report.figure import CHANGES, COMPILE, EAGER, PARITY, SCORE, STEP
from mpcore.report.rows import parity_rows, rows
from mpcore.report.text import measured_at
from mpcore.store import comparable


@dataclass(frozen=True)
class Pairs:
    """both: the records of a case in the first and in the second run, which are comparable. gone, new: cases that only the
    first or only the second has. other: why those that both have cannot be compared."""

    both: Sequence[tuple[AnyRecord, AnyRecord]]
    gone: Sequence[str]
    new: Sequence[str]
    other: Sequence[str]

    def results(self, side: int) -> list[Result]:
        return [Result(record=pair[side]) for pair in self.both]


def changes(first: Run, second: Run) -> list[Section]:
    """In the order given, whichever is older."""
    pairs = _paired(first, second)
    results = [pairs.results(side) for side in (0, 1)]
    before, after = (rows(of) for of in results)
    trainers = [parity_rows(of) for of in results]
    found = [of for of in (*(changes_of(figure, before, after) for figure in CHANGES), changes_of(PARITY, *trainers)) if of]
    alone = {"Only in A": pairs.gone, "Only in B": pairs.new, "Not comparable": pairs.other}
    return [
        _sides(first, second),
        _software(first, second),
        *(_largest(listed) for of in found if (listed := [change for change in of if change.listed])),
        *([_rest(found)] if found else []),
        *_kernels(pairs),
        *(Section(title, sentences=names) for title, names in alone.items() if names),
    ]


def _sides(first: Run, second: Run) -> Section:
    old, new = first.datetime, second.datetime
    age = "B is the newer one" if old < new else "B is the older one: this is the order given" if old > new else "both as old"
    base, head = (first.commit, second.commit) if first.commit != second.commit else (None, None)
    said = [
        f"A -> B: from {_of(first)} to {_of(second)}; {age}.",
        "This says how large changes are, and not whether they are more than noise: "
        f"python -m mpcore ab {(base or 'BASE')[:12]} {(head or 'HEAD')[:12]} decides that, of times.",
    ]
    why = comparable(first.machine.hardware, second.machine.hardware)
    return Section("A and B", sentences=[*said, *([f"The two machines differ: {why}."] if why else [])])


def _of(run: Run) -> str:
    return f"{run.path} (measured {measured_at(run)})"


def _software(first: Run, second: Run) -> Section:
    """The commit and the command, too."""
    old, new = ({**run.machine.software, "commit": (run.commit or "-")[:12]} for run in (first, second))
    cells = [[name, old.get(name, "-"), new.get(name, "-")] for name in {**old, **new} if old.get(name) != new.get(name)]
    commands = [f"Command of A: {first.command}", f"Command of B: {second.command}"] if first.command != second.command else []
    same = [] if cells else ["Software, commit and command are the same."]
    return Section("Software", tables=[Table(["", "A", "B"], cells, "lll")] if cells else [], sentences=commands or same)


def _largest(listed: Sequence[Change]) -> Section:
    """Of one figure, the largest first."""
    units = list(dict.fromkeys(change.unit for change in listed))
    several = len(units) > 1
    cells = [[change.case, *([change.unit] if several else []), *change.cells] for change in listed]
    table = Table(["case", *(["in"] if several else []), "A", "B", "change"], cells, "l" * (1 + several) + "rrr")
    return Section(listed[0].figure.title + ("" if several else f", {units[0]}"), tables=[table])


def _rest(found: Sequence[Sequence[Change]]) -> Section:
    """How many cases are not worth a line."""
    counts = [f"{of[0].figure.name} {sum(not c.listed for c in of)} of {len(of)}" for of in found]
    said = f"Cases that changed by less than {STEP.listed:g} %: {', '.join(counts)}."
    limits = f"For a score that is a percentage the limit is {SCORE.listed:g} points."
    if any(of[0].figure is EAGER for of in found):
        limits += f" For an eager time it is the {EAGER.listed:g} % that machine starts differ by."
    if any(of[0].figure is COMPILE for of in found):
        limits += f" For a compile time it is the gate's margin, {COMPILE.listed:g} %."
    return Section("Not listed", sentences=[f"{said} {limits}"])


def _kernels(pairs: Pairs) -> list[Section]:
    """Of the step whose time changed most, where one did."""
    speeds = [(a, b) for a, b in pairs.both if isinstance(a, Speed) and isinstance(b, Speed)]
    change = {i: math.log(b.blocks.step_seconds / a.blocks.step_seconds) for i, (a, b) in enumerate(speeds)}
    most = max(change, key=lambda i: abs(change[i]), default=None)
    if most is None or abs(change[most]) < STEP.listed / 100:
        return []
    before, after = speeds[most]
    which = f"{after.case.id}, whose step time changed most"
    if before.profile and after.profile:
        said = f"{which}: {explain_difference(before.profile, after.profile)}."
    else:
        said = f"{which}, was not profiled in both."
    return [Section("Kernels", sentences=[said])]


def _paired(first: Run, second: Run) -> Pairs:
    before, after = ({result.record.identity: result.record for result in run.results} for run in (first, second))
    matches = [
        match_baselines(after[place], [first.model_copy(update={"results": (Result(record=record),)})])
        for place, record in before.items()
        if place in after
    ]
    cases = [[record.case for record in of.values()] for of in (before, after)]
    return Pairs(
        both=[(match.accepted[0], match.record) for match in matches if match.accepted],
        gone=named_once(((record, "") for place, record in before.items() if place not in after), cases[0]),
        new=named_once(((record, "") for place, record in after.items() if place not in before), cases[1]),
        other=named_once(((match.record, match.other) for match in matches if match.other), cases[1]),
    )
