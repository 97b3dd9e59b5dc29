"""A table of races: a step by each trainer and execution, workload by workload, and how many times as fast the fastest of ours
is."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mpcore.records import OWN_TRAINER, Entrant, Race, Result, Turns
from mpcore.report import legends
from mpcore.report.document import Section, Table
from mpcore.report.text import tally

FASTEST, SAME_MODE = "x", "x same mode"


def races(results: Sequence[Result], title: str, *, folded: bool = False) -> list[Section]:
    """A section for each mode that the others were timed in. None where there was no race."""
    by_mode = races_by_mode(results)
    return [
        Section(f"{title}: {mode}", tables=[_table(found)], sentences=_sentences(found), folded=folded)
        for mode, found in by_mode.items()
    ]


def races_by_mode(results: Iterable[Result]) -> dict[str, list[Race]]:
    """By the mode of the others."""
    found: dict[str, list[Race]] = {}
    for record in (result.record for result in results):
        if isinstance(record, Race):
            found.setdefault(record.case.precision, []).append(record)
    return found


def _table(found: Sequence[Race]) -> Table:
    entrants = [*(each for race in found for each in race.theirs), *(each for race in found for each in race.ours)]
    columns = dict.fromkeys(map(heading, entrants))
    rows = [_row(race, [*columns]) for race in found]
    means = [mean_ratio(race.fastest for race in found), mean_ratio(race.same_mode for race in found)]
    rows.append(["geometric mean", *[""] * (len(columns) + 1), *means])
    headings = ["workload", *columns, "ours", FASTEST, SAME_MODE]
    table = Table(headings, rows, "l" + "r" * len(columns) + "lrr", [*columns])
    return table if any(race.same_mode for race in found) else _without_last(table)


def _row(race: Race, columns: Sequence[str]) -> list[str]:
    times = {heading(entrant): f"{1e3 * entrant.blocks.step_seconds:.2f}" for entrant in (*race.theirs, *race.ours)}
    ours = heading(race.fastest.ours) if race.fastest else "-"
    ratios = [f"{turns.ratio:.3f}" if turns else "-" for turns in (race.fastest, race.same_mode)]
    return [race.case.workload, *(times.get(column, "-") for column in columns), ours, *ratios]


def heading(entrant: Entrant) -> str:
    """As a column is called."""
    who = entrant.case.precision if entrant.case.trainer == OWN_TRAINER else entrant.trainer
    return f"{who} {entrant.case.execution}"


def mean_ratio(turns: Iterable[Turns | None]) -> str:
    """Geometric; a dash where nothing took turns."""
    ratios = [pair.ratio for pair in turns if pair]
    return f"{statistics.geometric_mean(ratios):.3f}" if ratios else "-"


def _without_last(table: Table) -> Table:
    rows = [row[:-1] for row in table.rows]
    return replace(table, headings=table.headings[:-1], rows=rows, align=table.align[:-1])


def _sentences(found: Sequence[Race]) -> list[str]:
    others = dict.fromkeys(f"{e.trainer} {e.trainer_version}".strip() for race in found for e in race.theirs)
    missing = tally(reason for race in found for reason in {**race.missing, **race.failed}.values())
    same = [legends.SAME_MODE] if any(race.same_mode for race in found) else []
    return [
        " ".join([legends.RACES, *same]),
        *([f"By {', '.join(others)}."] if others else []),
        *(f"Not timed: {reason}." for reason in missing),
    ]
