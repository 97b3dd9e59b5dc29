"""Base against head, in pairs of fresh processes on this machine, or by work alone.

Exit codes. The first that holds counts:

1. Anything is worse.
2. Something failed, nothing was compared, or an option cannot be used.
4. A case is blind: this machine cannot measure it well enough.
3. Anything is undecided.
0. All else. Work that is changed in no direction that is better or worse is no fault.

An interruption gives 128 and the number of its signal.
"""

import argparse
import shlex
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mpcore.commands.arguments import Commands, baselines_of, policy_of
from mpcore.commands.output import show, tell
from mpcore.project import ProjectError, configured_files
from mpcore.records import Comparison, Selection
from mpcore.selection import (
    SelectionError,
    add_compile_cache_option,
    add_margin_option,
    add_options,
    selection_of,
    use_compile_cache,
)

if TYPE_CHECKING:
    from mpcore.ab.compare import Proofs
    from mpcore.report.document import Document

BLIND = 4
"""The exit code where a case could not be measured well enough, twice: a fault of the machine."""
SKIP = 125
"""What tells `git bisect run` that a commit cannot be judged."""


def add(commands: Commands) -> None:
    """Adds the command."""
    description = (
        "Times each case in base and in head, in pairs of fresh processes on this machine, until it is decided whether head is "
        "slower. BASE and HEAD are git revisions or folders (./NAME, where a folder is named like a revision). Without HEAD it "
        "is the working tree as it is, uncommitted changes included. With a Python of its own for either side BASE may be left "
        "out: then the same tree runs in two environments. A file of --mp-load, or of pytest's option mp_load, that lies in "
        "the tree is each side's own. Of the margins, pair-time, pair-memory and pair-blind count here. With --work-only "
        "nothing is timed: what a step does is counted and has to be the same, on a CPU too, in two minutes."
    )
    codes = (
        "exit code: 0 same, better, or work that is changed in no known direction, which is shown. 1 worse, whatever else "
        "happened. 2 usage or failure. 4 blind: fresh pairs, too, cannot exclude what must be (pair-blind). 3 undecided"
    )
    parser = commands.add_parser("ab", help="base against head: is it slower?", description=description, epilog=codes)
    stood_on = "a git revision or a folder (default in a GitHub job: what its pull request or merge group stands on)"
    parser.add_argument("base", nargs="?", metavar="BASE", help=stood_on)
    parser.add_argument("head", nargs="?", metavar="HEAD", help="the same (default: the working tree)")
    for side in ("base", "head"):
        runs = f"what runs {side} (default: the Python that runs this)"
        parser.add_argument(f"--{side}-python", metavar="PYTHON", help=runs)
        under = f"what comes before the Python of {side}, such as 'docker run -i ... IMAGE' or 'srun ...'; {{tree}} is its tree"
        parser.add_argument(f"--{side}-command", metavar="PREFIX", help=under)
    parser.add_argument(
        "--work-only",
        action="store_true",
        help="compare what a step does: operations, casts, saved bytes, synchronisations. Without other options in all "
        "modes, also those on request, in size tiny, on the CPU",
    )
    _add_kept(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too, after each pair")
    resume = "go on with an interrupted comparison of two commits, from the file that --json wrote"
    parser.add_argument("--resume", type=Path, metavar="FILE", help=resume)
    bisect = "for git bisect run: work first, then times; exit code 0 good, 1 bad, 125 neither"
    parser.add_argument("--git-bisect", action="store_true", help=bisect)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there as markdown, too")
    add_compile_cache_option(parser.add_argument)
    add_options(parser.add_argument)
    parser.set_defaults(run=run)


def _add_kept(parser: argparse.ArgumentParser) -> None:
    """Options that `_kept` names."""
    built = "a line of the shell that builds a side: it is run in the tree of each"
    parser.add_argument("--prepare", metavar="CMD", help=built)
    trained = "train, too: head must not lose more than the tolerance, seed by seed"
    parser.add_argument("--accuracy", action="store_true", help=trained)
    parser.add_argument(
        "--time-all", action="store_true", help="time everything, also what cannot differ, and judge time alone"
    )
    kept = "where the sensitivity of trainings here is kept, for --accuracy (default: baselines, in the root of the project)"
    parser.add_argument("--baselines", type=Path, metavar="DIR", help=kept)
    add_margin_option(parser.add_argument)


def run(options: argparse.Namespace) -> int:
    """Prints the comparison, and tells on standard error how far it is."""
    from mpcore.ab import RevisionError
    from mpcore.runner import RunnerError
    from mpcore.signals import raising_exit
    from mpcore.store import RunError

    try:
        with raising_exit():
            comparison = _flagged(_compared(options), options)
        document, lost = _written(comparison, options)
        resumes = comparison.interrupted is not None and options.json is not None and not lost
        last = _goes_on(comparison, options) if resumes else ""
    except (RevisionError, ProjectError, SelectionError, RunnerError, RunError, OSError) as error:
        tell(str(error))
        return SKIP if options.git_bisect else 2
    except Exception:  # which git bisect would take for a commit that is bad
        if not options.git_bisect:
            raise
        traceback.print_exc()
        return SKIP
    code = bisect_code(comparison) if options.git_bisect else exit_code(comparison)
    try:
        show(document)
    except OSError as error:  # as of a full disk: what came out is so all the same
        if isinstance(error, BrokenPipeError) and code != 1 and not options.git_bisect:
            raise
        lost = f"the output cannot be written{', and head is worse' if code == 1 else f': {error.strerror}'}"
    finally:
        for line in filter(None, (lost, last)):
            tell(line)
    return code or (2 if lost and not options.git_bisect else 0)


def exit_code(comparison: Comparison) -> int:
    """See above."""
    if comparison.interrupted is not None:
        return comparison.interrupted
    if "worse" in comparison.statuses:
        return 1
    if comparison.failures or not comparison.statuses - {"new", "incomparable"}:
        return 2
    if "blind" in comparison.statuses:
        return BLIND
    return 3 if "undecided" in comparison.statuses else 0


def bisect_code(comparison: Comparison) -> int:
    """What `git bisect run` understands: 0 good, 1 bad, 125 neither; and from 128 on it stops."""
    code = exit_code(comparison)
    return SKIP if code in (2, 3, BLIND) else code


def _compared(options: argparse.Namespace) -> Comparison:
    from mpcore.ab import (
        all_work,
        check_large_files,
        checkouts,
        compare,
        compare_work,
        event_base,
        in_each_tree,
        prepare,
        repository,
    )
    from mpcore.runner import RunnerError
    from mpcore.store import check_writable

    use_compile_cache(options)
    earlier = _interrupted(options) if options.resume else None
    _check_judging(options)
    policy, proofs = policy_of(options), _proofs(options)
    selection = earlier.selection if earlier else selection_of(options)
    for path in filter(None, (options.json, options.markdown)):
        check_writable(path)
    if options.json is not None and options.markdown is not None and options.json.resolve() == options.markdown.resolve():
        raise SelectionError(f"--json and --markdown both name {options.json}: expected two files")
    commands = options.base_command, options.head_command
    if not any((options.base, options.base_python, options.head_python, *commands)):
        options.base = event_base()
    with checkouts(options.base, options.head, options.base_python, options.head_python, commands) as (base, head):
        if earlier:  # else they would be called by their ids
            base, head = replace(base, name=earlier.base.name), replace(head, name=earlier.head.name)
        if options.prepare:
            prepare(options.prepare, (base, head))
        check_large_files((base, head))
        placed = (
            earlier.selection if earlier else in_each_tree(selection, configured_files(), [head.tree, base.tree, repository()])
        )
        if options.work_only:
            return compare_work(base, head, all_work(placed), progress=tell)
        if options.git_bisect:
            try:
                counted = compare_work(base, head, all_work(placed), progress=tell)
            except RunnerError as error:  # of a base that is too old to count, which can be timed
                tell(f"{error}; it is timed")
            else:
                if exit_code(counted) == 1:
                    return counted
        return compare(
            base,
            head,
            placed,
            policy,
            progress=tell,
            earlier=earlier,
            save=_Saver(options),
            time_all=options.time_all,
            accuracy=options.accuracy,
            proofs=proofs,
        )


def _check_judging(options: argparse.Namespace) -> None:
    """Raises SelectionError for an option that would say nothing beside another."""
    if options.work_only and (given := _judging(options)):
        raise SelectionError(f"--work-only neither times nor trains: expected no {given[0]}")
    if options.time_all and options.accuracy:
        raise SelectionError("--time-all judges time alone: expected no --accuracy")


def _proofs(options: argparse.Namespace) -> "Proofs":
    """Of the sensitivity of trainings, as `calibrate --sensitivity --write` has kept them. Raises SelectionError, ProjectError,
    and RunError for the folder of one machine."""
    from mpcore.store import sensitivities

    if options.baselines and not options.accuracy:
        raise SelectionError("--baselines says where the sensitivity of trainings is kept: expected --accuracy, too")
    if not options.accuracy:
        return lambda hardware: ()
    folder = baselines_of(options)
    return lambda hardware: sensitivities(folder, hardware).accuracy


def _interrupted(options: argparse.Namespace) -> Comparison:
    """What --resume goes on with; its revisions and its file become those of the options. Raises SelectionError."""
    from pydantic import ValidationError

    from mpcore.store import first_error

    path: Path = options.resume
    named = f"--resume {str(path)!r}"
    if options.base or options.work_only or options.git_bisect or selection_of(options) != Selection():
        raise SelectionError("--resume goes on with what its file says: expected no revisions, and none of the other options")
    try:
        earlier = Comparison.model_validate_json(path.read_text())
    except OSError as error:
        raise SelectionError(f"{named}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise SelectionError(f"{named}: expected a file that ab --json wrote: {first_error(error)}") from error
    except ValueError as error:  # no text
        raise SelectionError(f"{named}: expected a file that ab --json wrote: {error}") from error
    if earlier.by != "time" or earlier.interrupted is None:
        raise SelectionError(f"{named}: that comparison came to its end")
    for name, revision in (("base", earlier.base), ("head", earlier.head)):
        if revision.commit is None:
            raise SelectionError(f"{named}: {name} ({revision.name}) is no commit, and may be another one by now")
    options.base, options.head = earlier.base.commit, earlier.head.commit
    options.base_python, options.head_python = earlier.base.python, earlier.head.python
    options.base_command, options.head_command = (shlex.join(of.command) or None for of in (earlier.base, earlier.head))
    options.json = options.json or path
    _give_back(options, earlier.flags)
    return earlier


def _flagged(comparison: Comparison, options: argparse.Namespace) -> Comparison:
    return comparison.model_copy(update={"flags": tuple(_kept(options))})


def _give_back(options: argparse.Namespace, flags: Sequence[str]) -> None:
    """Options that an interrupted comparison was begun with, where none are given now."""
    begun = argparse.ArgumentParser()
    _add_kept(begun)
    for name, value in vars(begun.parse_args(flags)).items():
        setattr(options, name, getattr(options, name) or value)


def _keep(comparison: Comparison, path: Path | None) -> None:
    """Whole or not at all: a machine may be taken away at any moment. Raises RunError."""
    from mpcore.store import write

    if path is not None:
        write({path: comparison.model_dump_json(indent=1) + "\n"})


class _Saver:
    """Keeps what there is after each pair. Where that fails, as on a full disk, it says so once, and the comparison goes on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._failed = False

    def __call__(self, comparison: Comparison) -> None:
        from mpcore.store import RunError

        try:
            _keep(_flagged(comparison, self._options), self._options.json)
        except RunError as error:
            if not self._failed:
                tell(f"{error}; it goes on")
            self._failed = True


def _written(comparison: Comparison, options: argparse.Namespace) -> "tuple[Document, str]":
    """What is to be shown, once it is in the files: nobody may read what is printed to its end. And why it is not in them all,
    or ""."""
    from mpcore.report.documents import pairs_document
    from mpcore.report.render import render
    from mpcore.store import RunError, write

    document, lost = pairs_document(comparison), ""
    try:
        _keep(comparison, options.json)
        if options.markdown is not None:
            write({options.markdown: render(document, "markdown")})
    except RunError as error:
        lost = str(error)
    return document, lost


def _goes_on(comparison: Comparison, options: argparse.Namespace) -> str:
    """With what, or why it does not: a folder or a working tree with changes may be another one by then."""
    from mpcore.ab import in_no_commit

    changing = [of.name for of in (comparison.base, comparison.head) if of.commit is None]
    if changing:
        return f"it does not go on with --resume, for no commit holds {' or '.join(changing)} as it is"
    command = shlex.join(["python", "-m", "mpcore", "ab", "--resume", str(options.json), *_kept(options)])
    built = [] if options.prepare else [*in_no_commit(comparison.base), *in_no_commit(comparison.head)]
    missing = f" --prepare CMD, where CMD builds {built[0]}, which no commit holds" if built else ""
    return f"it goes on with: {command}{missing}"


def _kept(options: argparse.Namespace) -> list[str]:
    """Options beside the selection, as they are typed."""
    flags = _judging(options)
    return flags if options.prepare is None else ["--prepare", options.prepare, *flags]


def _judging(options: argparse.Namespace) -> list[str]:
    """Those of them that say how times and trainings are judged."""
    flags = [flag for flag, given in (("--accuracy", options.accuracy), ("--time-all", options.time_all)) if given]
    flags += [f"--baselines={options.baselines}"] if options.baselines else []
    return [*flags, *(f"--mp-margin={margin}" for margin in options.mp_margin or ())]
