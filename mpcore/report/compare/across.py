"""A table for each figure: cases down, hardware across. Published figures have columns of their own, and stand in the row of
ours in the same mode, or in one of their own where there is none."""

from collections.abc import Mapping, Sequence

from mpcore.records import Published, Run
from mpcore.report.compare.document import Document, Section, Table
from mpcore.report.compare.failures import failures
from mpcore.report.compare.figure import ACROSS, Figure
from mpcore.report.compare.line import Line, Place, measured
from mpcore.report.compare.published import published

NOTE = (
    "Columns marked (published) are of papers and articles: other software, mostly another model or recipe. Nothing is judged "
    "by them. Their sources:"
)


def across(runs: Sequence[Run], figures: Sequence[Published]) -> Document:
    ours = measured(runs)
    theirs = published(figures, ours)
    sources = list(dict.fromkeys(line.source for line in theirs))
    marks = {source: f"[{number}]" for number, source in enumerate(sources, 1)}
    lines = [*ours, *theirs]
    tables = [
        _section(figure, of, marks) for figure in ACROSS if (of := [line for line in lines if line.figure == figure.name])
    ]
    notes = [Section("Published figures", sentences=[NOTE, *(f"{marks[s]} {s}" for s in sources)])] if sources else []
    return Document("Across hardware", [_runs(runs), *tables, *failures(runs), *notes], lines)


def _runs(runs: Sequence[Run]) -> Section:
    rows = [
        [
            run.machine.hardware.key,
            run.path,
            run.datetime[:16].replace("T", " "),
            (run.commit or "-")[:8],
            run.machine.software.get("torch", "-"),
        ]
        for run in runs
    ]
    said = ["Where there are several runs of one hardware, figures are the median."] if _several(runs) else []
    return Section("Runs", Table(["hardware", "file", "measured", "commit", "torch"], rows, names=5), said)


def _several(runs: Sequence[Run]) -> bool:
    return len({run.machine.hardware.key for run in runs}) < len(runs)


def _section(figure: Figure, lines: Sequence[Line], marks: Mapping[str, str]) -> Section:
    units = list(dict.fromkeys(line.unit for line in lines))
    return Section(figure.title + (f", {units[0]}" if len(units) == 1 else ""), _table(figure, lines, marks))


def _table(figure: Figure, lines: Sequence[Line], marks: Mapping[str, str]) -> Table:
    rows = _rows(lines)
    hardware = list(dict.fromkeys(line.hardware for line in lines))
    shown = [True, True, True, len({line.unit for line in lines}) > 1, _varies(lines)]
    names = ("workload", "as", "mode", "in", "setting")
    cells = []
    for (case, mode), members in rows.items():
        workload, size, execution, batch, setting, unit = case
        leading = (workload, ", ".join(filter(None, (size, execution, batch))) or "-", mode, unit, setting)
        texts = [_cell(figure, [line for line in members if line.hardware == name], marks) for name in hardware]
        cells.append([text for text, show in zip(leading, shown, strict=True) if show] + texts)
    headings = [name for name, show in zip(names, shown, strict=True) if show]
    return Table([*headings, *hardware], cells, names=sum(shown))


def _rows(lines: Sequence[Line]) -> Mapping[tuple[Place, str], list[Line]]:
    """By case and mode: workloads, their cases, and modes in the order in which they were measured."""
    rows: dict[tuple[Place, str], list[Line]] = {}
    first: dict[tuple[str, str], tuple[Place, str]] = {}
    for line in lines:
        own = (line.case, line.precision)
        if line.published:
            own = first.get((line.workload, line.precision), own)
        elif line.size == "full":
            first.setdefault((line.workload, line.precision), own)
        rows.setdefault(own, []).append(line)
    workloads, cases, modes = ({name: i for i, name in enumerate(dict.fromkeys(names))} for names in _orders(lines))
    order = sorted(rows, key=lambda row: (workloads[row[0][0]], cases[row[0]], modes[row[1]]))
    return {row: rows[row] for row in order}


def _orders(lines: Sequence[Line]) -> tuple[list[str], list[Place], list[str]]:
    return [line.workload for line in lines], [line.case for line in lines], [line.precision for line in lines]


def _varies(lines: Sequence[Line]) -> bool:
    """Whether cases of ours are alike but for their setting: the version of the workload, or what was trained on."""
    ours = {line.case for line in lines if not line.published}
    return len({(*case[:4], case[5]) for case in ours}) < len(ours)


def _cell(figure: Figure, lines: Sequence[Line], marks: Mapping[str, str]) -> str:
    values = ["diverged" if line.value is None else figure.text(line.value) for line in lines]
    marked = [f"{value} {marks.get(line.source, '')}".rstrip() for value, line in zip(values, lines, strict=True)]
    return ", ".join(marked) or "-"
