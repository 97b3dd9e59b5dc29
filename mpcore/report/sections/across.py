"""A table for each figure: cases down, hardware across. Published figures have columns of their own. They stand in the row of
ours in the same mode, or in one of their own where there is none."""

import statistics
from collections.abc import Mapping, Sequence

from mpcore.records import Run
from mpcore.report.alike import joined
from mpcore.report.document import Section, Table
from mpcore.report.figure import ACROSS, COMPILED, THROUGHPUT, Figure
from mpcore.report.line import Line, Place, Software, versions
from mpcore.report.text import measured_at, named_commit

NAMES = ("workload", "as", "mode", "in", "setting")
NOTE = (
    "Columns marked (published) are of papers and articles: other software, mostly another model or recipe. Nothing is judged "
    "by them. Their sources:"
)


def across(lines: Sequence[Line]) -> list[Section]:
    """A section for each figure that any line has."""
    marks = _marks(lines)
    return [_section(figure, of, marks) for figure in ACROSS if (of := _shown(figure, lines))]


def _shown(figure: Figure, lines: Sequence[Line]) -> list[Line]:
    """Those of the figure, in rows that are worth one."""
    own = [line for line in lines if line.figure == figure.name]
    if figure not in COMPILED:
        return own
    return [line for members in _rows(own).values() if _says_something(figure, members) for line in members]


def _says_something(figure: Figure, members: Sequence[Line]) -> bool:
    """Of a count: where runs or hardware differ, or have another than what is ordinary."""
    values = {value for line in members for value in (line.value, line.highest) if value is not None}
    return len(values) > 1 or (figure.ordinary is not None and values != {figure.ordinary})


def in_short(lines: Sequence[Line]) -> list[Section]:
    """How many times as fast as the first hardware the others are, by mode; none where no case was measured on two."""
    found = [line for line in lines if line.figure == THROUGHPUT.name and not line.published and line.value]
    first = found[0].hardware if found else ""
    before = {(line.case, line.precision): line.value for line in found if line.hardware == first}
    ratios: dict[tuple[str, str], list[float]] = {}
    compared: list[Line] = []
    for line in found:
        if line.hardware != first and line.value and (old := before.get((line.case, line.precision))):
            ratios.setdefault((line.hardware, line.precision), []).append(line.value / old)
            compared.append(line)
    rows = [
        [*of, f"{len(each)}", *(f"{value:.2f}" for value in (statistics.median(each), min(each), max(each)))]
        for of, each in ratios.items()
    ]
    table = Table(["hardware", "mode", "cases", "median", "lowest", "highest"], rows, "llrrrr")
    return [Section(f"In short: times as fast as {first}", _older(compared, found), [table])] if rows else []


def _older(compared: Sequence[Line], found: Sequence[Line]) -> str:
    """Which workloads are compared in another version than the newest one that was measured; "" where none is."""
    newest: dict[str, int] = {}
    for line in found:
        newest[line.workload] = max(_workload_version(line), newest.get(line.workload, 0))
    older = dict.fromkeys(f"{x.workload} {x.setting}" for x in compared if _workload_version(x) < newest[x.workload])
    return f"Some cases are of an older version than another run here has: {joined(list(older))}." if older else ""


def _workload_version(line: Line) -> int:
    """Of the workload of a throughput, whose setting is nothing else."""
    return int(line.setting.removeprefix("v"))


def runs_shown(runs: Sequence[Run]) -> Section:
    """Which runs the figures are of."""
    rows = [
        [run.machine.hardware.key, run.path, measured_at(run), named_commit(run), run.machine.software.get("torch", "-")]
        for run in runs
    ]
    several = len({run.machine.hardware.key for run in runs}) < len(runs)
    median = "Where there are several runs of one hardware, figures are the median."
    said = [f"{median} Eager times and what was compiled are the range."] if several else []
    return Section("Runs", tables=[Table(["hardware", "file", "measured", "commit", "torch"], rows, "lllll")], sentences=said)


def sources(lines: Sequence[Line]) -> list[Section]:
    """Whose the published figures are."""
    said = [f"{mark} {source}" for source, mark in _source_marks(lines).items()]
    return [Section("Published figures", sentences=[NOTE, *said])] if said else []


def other_software(lines: Sequence[Line]) -> list[Section]:
    """Which figures were computed by other software than the first ones, and what of it differs; none where all are of the
    same."""
    marks = _software_marks(lines)
    named = {name for others in marks for name, _ in others}
    first = tuple((name, version) for name, version in _first_software(lines).items() if name in named)
    said = [f"{mark}: {versions(others)}" for others, mark in marks.items()]
    return [Section("Software", sentences=[f"without a mark: {versions(first)}", *said])] if marks else []


def _marks(lines: Sequence[Line]) -> Mapping[Line, str]:
    """What stands beside a figure: whose it is, or what else has computed it."""
    of_sources, of_software, first = _source_marks(lines), _software_marks(lines), _first_software(lines)
    return {x: of_sources[x.source] if x.published else of_software.get(_others(x, first), "") for x in lines}


def _source_marks(lines: Sequence[Line]) -> Mapping[str, str]:
    """By source, what stands beside its figures."""
    named = dict.fromkeys(line.source for line in lines if line.published)
    return {source: f"[{number}]" for number, source in enumerate(named, 1)}


def _software_marks(lines: Sequence[Line]) -> Mapping[Software, str]:
    """By what differs from the first software, what stands beside the figures that it computed."""
    first = _first_software(lines)
    found = dict.fromkeys(others for line in lines if (others := _others(line, first)))
    return {others: f"[{letters(number)}]" for number, others in enumerate(found, 1)}


def _first_software(lines: Sequence[Line]) -> Mapping[str, str]:
    """By name, the version that is first known."""
    return {name: version for line in reversed(lines) for name, version in line.software}


def _others(line: Line, first: Mapping[str, str]) -> Software:
    return tuple((name, version) for name, version in line.software if first[name] != version)


def letters(number: int) -> str:
    """a, b, ..., z, aa from 1 on."""
    return "" if number == 0 else letters((number - 1) // 26) + chr(ord("a") + (number - 1) % 26)


def _section(figure: Figure, lines: Sequence[Line], marks: Mapping[Line, str]) -> Section:
    units = list(dict.fromkeys(line.unit for line in lines))
    return Section(figure.title + (f", {units[0]}" if len(units) == 1 else ""), tables=[_table(figure, lines, marks)])


def _table(figure: Figure, lines: Sequence[Line], marks: Mapping[Line, str]) -> Table:
    hardware = list(dict.fromkeys(line.hardware for line in lines))
    shown = [True, True, True, len({line.unit for line in lines}) > 1, _varies(lines)]
    cells = []
    for (case, mode), members in _rows(lines).items():
        workload, size, execution, batch, setting, unit = case
        leading = (workload, ", ".join(filter(None, (size, execution, batch))) or "-", mode, unit, setting or "-")
        texts = [_cell(figure, [line for line in members if line.hardware == name], marks) for name in hardware]
        cells.append([text for text, show in zip(leading, shown, strict=True) if show] + texts)
    headings = [name for name, show in zip(NAMES, shown, strict=True) if show]
    return Table([*headings, *hardware], cells, "l" * sum(shown) + "r" * len(hardware))


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
    workloads, cases, modes = (
        {name: place for place, name in enumerate(dict.fromkeys(names))}
        for names in ((x.workload for x in lines), (x.case for x in lines), (x.precision for x in lines))
    )
    order = sorted(rows, key=lambda row: (workloads[row[0][0]], cases[row[0]], modes[row[1]]))
    return {row: rows[row] for row in order}


def _varies(lines: Sequence[Line]) -> bool:
    """Whether cases of ours are alike but for their setting: the version of the workload, or what was trained on."""
    ours = {line.case for line in lines if not line.published}
    return len({(*case[:4], case[5]) for case in ours}) < len(ours)


def _text(figure: Figure, line: Line) -> str:
    if line.value is None:
        return "diverged"
    return figure.text(line.value) + ("" if line.highest is None else f"-{figure.text(line.highest)}")


def _cell(figure: Figure, lines: Sequence[Line], marks: Mapping[Line, str]) -> str:
    return ", ".join(f"{_text(figure, line)} {marks[line]}".rstrip() for line in lines) or "-"
