"""What changed from one run of a machine to another: its software, then figures by how much they changed, then why."""

import math
from collections.abc import Sequence

from mpcore.kernels import explain_difference
from mpcore.records import Run, Speed
from mpcore.report.compare.change import Change, changes_of
from mpcore.report.compare.document import Document, Section, Table
from mpcore.report.compare.failures import failures
from mpcore.report.compare.figure import CHANGES, PARITY, SCORE, STEP
from mpcore.report.compare.line import measured
from mpcore.report.compare.pairs import Pairs, paired
from mpcore.report.rows import parity_rows, rows
from mpcore.store import comparable


def changes(first: Run, second: Run) -> Document:
    """In the order given, whichever is older."""
    pairs = paired(first, second)
    results = [pairs.results(side) for side in (0, 1)]
    before, after = (rows(of).to_dict("records") for of in results)
    beside = (parity_rows(of).to_dict("records") for of in results)
    found = [of for of in (*(changes_of(figure, before, after) for figure in CHANGES), changes_of(PARITY, *beside)) if of]
    alone = {"Only in A": pairs.gone, "Only in B": pairs.new, "Not comparable": pairs.other}
    sections = [
        _sides(first, second),
        _software(first, second),
        *(_largest(listed) for of in found if (listed := [change for change in of if change.listed])),
        *([_rest(found)] if found else []),
        *_kernels(pairs),
        *(Section(title, sentences=names) for title, names in alone.items() if names),
        *failures([first, second]),
    ]
    lines = [line for run in (first, second) for line in measured([run])]
    return Document(f"What changed on {first.machine.hardware.key}", sections, lines)


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
    return f"{run.path} (measured {run.datetime[:16].replace('T', ' ')})"


def _software(first: Run, second: Run) -> Section:
    """The commit and the command, too."""
    old, new = ({**run.machine.software, "commit": (run.commit or "-")[:12]} for run in (first, second))
    cells = [[name, old.get(name, "-"), new.get(name, "-")] for name in {**old, **new} if old.get(name) != new.get(name)]
    commands = [f"Command of A: {first.command}", f"Command of B: {second.command}"] if first.command != second.command else []
    same = "Software, commit and command are the same."
    return Section("Software", Table(["", "A", "B"], cells, 3) if cells else None, commands or ([] if cells else [same]))


def _largest(listed: Sequence[Change]) -> Section:
    """Of one figure, the largest first."""
    units = list(dict.fromkeys(change.unit for change in listed))
    several = len(units) > 1
    cells = [[change.case, *([change.unit] if several else []), *change.cells] for change in listed]
    headings = ["case", *(["in"] if several else []), "A", "B", "change"]
    name = listed[0].figure.title + ("" if several else f", {units[0]}")
    return Section(name, Table(headings, cells, names=len(headings) - 3))


def _rest(found: Sequence[Sequence[Change]]) -> Section:
    """How many cases are not worth a line."""
    counts = [f"{of[0].figure.name} {sum(not c.listed for c in of)} of {len(of)}" for of in found]
    limits = f"less than {STEP.listed:g} %, a score that is a percentage by less than {SCORE.listed:g} points"
    return Section("Not listed", sentences=[f"Cases that changed by {limits}: {', '.join(counts)}."])


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
