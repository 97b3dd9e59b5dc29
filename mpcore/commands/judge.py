"""Judges saved runs again, by today's rules and against today's baselines. Nothing is measured."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, add_baselines, add_runs, baselines_of, policy_of
from mpcore.commands.output import show, tell
from mpcore.commands.reading import UNREADABLE, read_all
from mpcore.records import ALL_CASES, FailedTest, Run, Selection
from mpcore.selection import add_margin_option

if TYPE_CHECKING:
    from mpcore.gate import Policy
    from mpcore.report.summary import SessionSummary


def add(commands: Commands) -> None:
    """Adds the command."""
    what = "judge saved runs again, against the baselines of their hardware"
    description = f"{what[0].upper()}{what[1:]}. A run is not compared with itself. {UNREADABLE}"
    codes = "exit code: 0 all passed, 1 something failed or was never measured, 4 a file or an option cannot be used"
    parser = commands.add_parser("judge", help=what, description=description, epilog=codes)
    add_runs(parser, folders=True)
    add_baselines(parser)
    add_margin_option(parser.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what each session would have said. Raises RunError for baselines that cannot be read, ProjectError for a margin
    or a folder that cannot be used."""
    from mpcore.report.documents import judged_document
    from mpcore.store import load

    policy, folder = policy_of(options), baselines_of(options)
    runs, unreadable = read_all(options.runs, load)
    for pattern in _unused(options.mp_margin, policy, runs):
        tell(f"a margin is for {pattern!r}, and no case has such a name")
    failed = False
    for saved in runs:
        summary = _judged(saved, folder / saved.machine.hardware.key, policy, _judged_by(options))
        show(judged_document(summary, saved.path))
        if incomplete := _incomplete(saved):
            tell(incomplete)
        failed = failed or bool(summary.failures or incomplete)
    return 4 if unreadable else int(failed)


def _unused(margins: Sequence[str], policy: "Policy", runs: Sequence[Run]) -> list[str]:
    """Patterns of the command line that fit no case of `runs`."""
    given = {margin.partition("=")[0].rpartition(":")[0] for margin in margins}
    cases = {ALL_CASES, *(result.record.case.id for run in runs for result in run.results)}
    return [pattern for pattern in policy.unused_patterns(cases) if pattern in given]


def _incomplete(saved: Run) -> str:
    """Why nobody can say that all of it passed, "" where one can."""
    if saved.missed:
        return f"{saved.path} was ended before it reached {saved.missed} of its cases: they are not judged"
    return "" if saved.results else f"{saved.path} has no results: nothing is judged"


def _judged_by(options: argparse.Namespace) -> list[str]:
    """What judges a session as this does."""
    margins = [f"--mp-margin {shlex.quote(margin)}" for margin in options.mp_margin]
    return [*margins, *([f"--mp-baselines {shlex.quote(str(options.baselines))}"] if options.baselines else [])]


def _judged(saved: Run, folder: Path, policy: "Policy", judged_by: Sequence[str]) -> "SessionSummary":
    """Against the accepted runs in `folder`. What failed for --mp-strict alone fails no more. judged_by: options for the
    commands of what failed here for the first time."""
    from mpcore.gate import judge_run
    from mpcore.report.summary import SessionSummary
    from mpcore.store import accepted, calibration, sensitivities

    hardware = saved.machine.hardware
    runs, proofs = accepted(folder.parent, hardware), sensitivities(folder.parent, hardware.key).accuracy
    baselines = [run for run in runs if (run.datetime, run.commit) != (saved.datetime, saved.commit)]
    judged = judge_run(saved, baselines, policy, calibration(folder.parent, hardware), proofs)
    failed = [_reproduced(test, saved, judged_by) for test in judged.failed if not test.strict]
    return SessionSummary(
        run=judged.model_copy(update={"failed": tuple(failed)}),
        selection=Selection(),
        ran=len(judged.results),
        missed=judged.missed,
        accepted=baselines,
        folder=str(folder),
    )


def _reproduced(test: FailedTest, saved: Run, judged_by: Sequence[str]) -> FailedTest:
    """With the command that measures it again, where the session had none for it."""
    from mpcore.report.sections.next_steps import session_command

    if test.command or not (command := session_command(saved, test.name or test.test, judged_by)):
        return test
    return test.model_copy(update={"command": command})
