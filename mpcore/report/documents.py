"""All that is printed, as documents. `render` draws them."""

from collections.abc import Iterable, Mapping, Sequence

from mpcore.gate import match_baselines
from mpcore.records import ALL_CASES, Comparison, Published, Run
from mpcore.report.document import Document, Section
from mpcore.report.measured import measured
from mpcore.report.published import published
from mpcore.report.sections.accepted import accepted_runs, changed_figures, not_compared
from mpcore.report.sections.across import across, in_short, other_software, runs_shown, sources
from mpcore.report.sections.base_and_head import base_and_head
from mpcore.report.sections.cases import against_trainers, cases
from mpcore.report.sections.ceilings import ceilings
from mpcore.report.sections.changes import changes
from mpcore.report.sections.details import details
from mpcore.report.sections.failures import failures
from mpcore.report.sections.kernels import longest_kernels
from mpcore.report.sections.next_steps import next_steps
from mpcore.report.sections.notes import known, not_run, notes
from mpcore.report.sections.published import beside_published
from mpcore.report.sections.races import races
from mpcore.report.sections.regressions import changed, regressions, software_since
from mpcore.report.sections.scaling import scaling
from mpcore.report.summary import SessionSummary
from mpcore.report.text import counted, provenance, short_test

COMMANDS = 5
"""That run a failed test again: more of them would hide the rest."""
OTHERS = "Against other trainers"
BESIDE = "Steps beside those of other trainers"


def session_document(summary: SessionSummary) -> Document:
    """The end of a session in a terminal. Last, where it is read first: what failed, where the run was saved and what to type
    next."""
    failed = _failed("failed:", summary.failures)
    return Document("", [*_judged(summary), *failed, *next_steps(summary)])


def judged_document(summary: SessionSummary, title: str) -> Document:
    """A saved run that was judged again, and the commands that measure again what failed. What else to type next was said where
    it was measured."""
    return Document(title, [*_judged(summary), *_failed("failed:", summary.failures, summary.run)])


def _judged(summary: SessionSummary) -> list[Section]:
    run = summary.run
    device = run.machine.hardware.name
    return [
        *cases(run.results, run.failed, device, summary.accepted),
        *scaling(run.results, "several GPUs"),
        *races(run.results, f"steps beside those of other trainers, on {device}"),
        *against_trainers(run.results, f"against other trainers, on {device}"),
        *notes(run.results),
        *known(run.results),
        *not_run(run),
        *regressions(summary),
    ]


def job_document(summary: SessionSummary) -> Document:
    """A session for the page of a pull request or of a job: whether it passed, why, and the tables folded."""
    run, software = summary.run, software_since(summary)
    sections = [
        *_failed("Failures", summary.failures, run),
        *(_capitalised(section) for section in changed(summary)),
        *([Section(lead=f"Software: {software}")] if software else []),
        *known(run.results, folded=True),
        *not_run(run, folded=True),
        *cases(run.results, run.failed, run.machine.hardware.name, summary.accepted, folded=True),
        *scaling(run.results, folded=True),
        *races(run.results, BESIDE, folded=True),
        *against_trainers(run.results, OTHERS, folded=True),
        _made(run),
    ]
    return Document(summary.headline, sections)


def run_document(run: Run) -> Document:
    """A saved run: how it was made, what failed, and all that was measured of each workload."""
    failed = [f"{short_test(failure)}: {failure.sentence}" for failure in run.failed]
    others = [*scaling(run.results), *races(run.results, BESIDE), *against_trainers(run.results, OTHERS)]
    sections = [
        _made(run),
        *_failed("Accepted, though these failed" if run.accepted else "Failures", failed, run),
        *ceilings(run.results),
        *details(run),
        *others,
        *not_run(run, folded=True),
    ]
    return Document(run.path, sections, measured([run]))


def races_document(runs: Sequence[Run]) -> Document | None:
    """The races of several runs of one hardware in one table; None where there are not several."""
    raced = [run for run in runs if races(run.results, BESIDE)]
    if len(raced) < 2 or len({run.machine.hardware.key for run in raced}) > 1:
        return None
    return Document("", races([result for run in raced for result in run.results], f"{BESIDE}, all runs"))


def comparison_document(runs: Sequence[Run], figures: Sequence[Published] = (), unreadable: Sequence[str] = ()) -> Document:
    """Two runs of one hardware as what changed, any others as a table for each figure across hardware, with published
    figures beside them. unreadable: why files are not among these."""
    two = len(runs) == 2 and not figures and runs[0].machine.hardware.key == runs[1].machine.hardware.key
    ours = [line for run in runs for line in measured([run])] if two else measured(runs)
    lines = [*ours, *published(figures, ours)]
    sections = changes(*runs) if two else [runs_shown(runs), *in_short(lines), *across(lines), *other_software(lines)]
    left_out = [Section("Not read", sentences=unreadable)] if unreadable else []
    title = f"What changed on {runs[0].machine.hardware.key}" if two else "Across hardware"
    return Document(title, [*sections, *failures(runs), *sources(lines), *left_out], lines)


def pairs_document(comparison: Comparison) -> Document:
    """Base against head."""
    return Document("Base against head", base_and_head(comparison))


def baselines_document(baselines: Mapping[str, Sequence[Run]]) -> Document:
    """All accepted runs, by the folder of their hardware."""
    return Document("", [accepted_runs(key, runs) for key, runs in baselines.items()])


def changes_document(run: Run, accepted: Sequence[Run]) -> Document:
    """What would change if `run` were accepted too."""
    matches = [match_baselines(result.record, accepted) for result in run.results]
    sections = [*changed_figures(run, matches), *not_compared(run, accepted, matches)]
    return Document(f"{run.path}, beside {counted(len(accepted), 'accepted run')}", sections)


def published_document(runs: Sequence[Run], figures: Iterable[Published]) -> Document:
    """Figures of runs beside those of papers and articles."""
    none = Section(lead="No figures were published of what these runs measured.")
    return Document("", beside_published(runs, figures) or [none])


def kernels_document(runs: Sequence[Run], count: int) -> Document:
    """The `count` longest kernels of each workload's fastest step."""
    return Document("", longest_kernels(runs, count))


def _failed(title: str, sentences: Sequence[str], run: Run | None = None) -> list[Section]:
    """With what runs the first tests of `run` again, alone, after what runs all cases. At the end of a session each has said so
    already."""
    failed = sorted(run.failed if run else (), key=lambda test: test.test != ALL_CASES)
    commands = list(dict.fromkeys(test.command for test in failed if test.command))
    first = [f"{COMMANDS} of {len(commands)} commands that run them again:"] if len(commands) > COMMANDS else []
    return [Section(title, sentences=[*sentences, *first], commands=commands[:COMMANDS])] if sentences else []


def _made(run: Run) -> Section:
    """On what, of what, when, and how."""
    return Section(lead=f"{provenance(run)}.", commands=[run.command])


def _capitalised(section: Section) -> Section:
    return Section(section.title[0].upper() + section.title[1:], sentences=section.sentences)
