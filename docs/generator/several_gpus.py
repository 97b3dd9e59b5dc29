"""What docs/several-gpus.md shows of committed runs on several GPUs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from generator.markdown import markdown
from generator.picture import several_gpus
from generator.results import only_tables
from generator.runs import DOCS, most_gpus, page_of, spread, spread_by_others
from mpcore.records import OWN_TRAINER, Run
from mpcore.report.alike import joined
from mpcore.report.document import Section
from mpcore.report.scaling import scaled
from mpcore.report.sections.scaling import scaling
from mpcore.report.text import ended, named_commit

NONE_YET = "No run on several GPUs is committed yet."


def how_steps_scale() -> str:
    """A picture of the run on the most GPUs, and a table for each workload of each run. Ranks have tables on a page a run."""
    runs, picture = spread(), several_gpus()
    if not runs or picture is None:
        return NONE_YET
    drawn = f"![Throughput against the number of GPUs]({picture.path.relative_to(DOCS)})"
    pages = joined([f"[{Path(run.path).stem}]({page_of(run).relative_to(DOCS)})" for run in runs])
    of_ranks = f"Each run has a page with tables rank by rank: {pages}."
    found = [_sections(run) for run in runs]
    tables = [_tables(sections) for sections in found]
    networks = dict.fromkeys(markdown(*only_tables(s for s in sections if not s.tables)) for sections in found)  # mostly one
    return "\n\n".join([drawn, of_ranks, *tables, *networks, _measured_by(runs)])


def _sections(run: Run) -> list[Section]:
    return _without_ranks(scaling(run.results, f"Up to {most_gpus(run)} GPUs, as {_executions(run)}"))


def _tables(sections: Sequence[Section]) -> str:
    """With what fresh launches differed by."""
    shown = [section for section in sections if section.tables]
    return "\n\n".join([markdown(*only_tables(shown)), *(sentence for section in shown for sentence in section.sentences)])


def _executions(run: Run) -> str:
    return joined(sorted({each.speed.case.execution for each in scaled(run.results)}))


def beside_other_trainers() -> str:
    """A table for each workload of each run in which other trainers spread it."""
    if not (runs := spread_by_others()):
        return NONE_YET
    tables = [s for run in runs for s in _without_ranks(scaling(run.results, _beside(run))) if s.tables]
    return f"{markdown(*only_tables(tables))}\n\n{_measured_by(runs)}"


def _without_ranks(sections: Iterable[Section]) -> list[Section]:
    """One table a workload."""
    return [replace(section, sections=()) for section in sections]


def _beside(run: Run) -> str:
    cases = [each.speed.case for each in scaled(run.results)]
    others = sorted({case.trainer for case in cases} - {OWN_TRAINER})
    return f"Beside {joined(others)}, with {joined(sorted({case.strategy for case in cases if case.spread}))}"


def _measured_by(runs: Sequence[Run]) -> str:
    said = (
        f"- `{run.command}`, at commit {named_commit(run)}, with torch {run.machine.software['torch']}{ended(run)}"
        for run in runs
    )
    return "\n".join(["Measured by", "", *said])
