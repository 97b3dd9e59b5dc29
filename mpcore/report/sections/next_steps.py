"""Where a session was saved, and what to type next."""

import re
import shlex
from collections.abc import Container, Mapping, Sequence
from pathlib import PurePath

from mpcore.records import ALL_CASES, OWN_STRATEGY, OWN_TRAINER, Case, Drift, Run, Selection, Speed
from mpcore.report.boxes import boxes
from mpcore.report.document import Section
from mpcore.report.summary import SessionSummary

NUMBERED = re.compile(r"(\d{4,}_)[\w.+-]+\.json")
TIMED = ("step time", "graph memory")
"""What pairs of processes measure."""
AXES = ("workload", "precision", "trainer", "execution", "gpus", "strategy", "batch")
"""What names a case."""
UNNAMED = {"trainer": OWN_TRAINER, "gpus": "1"}
"""What nobody needs to name."""
WRITES = {"--benchmark-json", "--junit-xml", "--junitxml", "--mp-markdown"}
"""Options of a session that name a file to write."""
JUDGES = {"--mp-margin", "--mp-baselines"}
"""Options of a session that say what it is judged by."""
PYTEST = ("pytest", "py.test")
UNSAVED = "nothing was saved: --benchmark-autosave saves a run in .benchmarks, --benchmark-json FILE where you like"


def next_steps(summary: SessionSummary) -> list[Section]:
    """Empty where nothing was measured."""
    if not summary.run.results:
        return []
    saved = [f"saved: {path}" for path in summary.saved] or [UNSAVED]
    commands = _commands(summary)
    return [Section(sentences=[*saved, *(["next:"] if commands else [])], commands=commands)]


def _commands(summary: SessionSummary) -> list[str]:
    found = []
    if summary.saved:
        file = _typed(summary.saved[0])
        found.append(f"python -m mpcore report {file} -o report.html")
        if _acceptable(summary):
            found.append(f"python -m mpcore accept {file} --reason TEXT")
    return found + ab_commands(_doubtful(summary), summary.accepted, summary.selection)


def ab_commands(cases: Sequence[Case], accepted: Sequence[Run], selection: Selection) -> list[str]:
    """What measures cases in pairs with the last accepted commit."""
    base = next((run.commit[:12] for run in accepted[-1:] if run.commit), "BASE")
    return [" ".join(["python -m mpcore ab", base, *options]) for options in options_of(cases, selection)]


def _typed(path: str) -> str:
    """As short as a shell lets it be: the names in pytest-benchmark's folders begin with numbers of their own."""
    name = NUMBERED.fullmatch(PurePath(path).name)
    return f"{shlex.quote(str(PurePath(path).parent))}/{name[1]}*.json" if name else shlex.quote(path)


def _acceptable(summary: SessionSummary) -> bool:
    """A whole session without a failure, in which something is better or new."""
    statuses = {regression.status for regression in summary.regressions}
    return not summary.failures and not summary.missed and bool({"better", "new", "incomparable"} & statuses)


def _doubtful(summary: SessionSummary) -> list[Case]:
    """What pairs of processes would see sharper: what got worse, or else may have; all graphs, where they did together."""
    speeds = [(r.record.case, r.regressions) for r in summary.run.results if isinstance(r.record, Speed)]
    if summary.run.common and summary.run.common.status == "worse":
        return [case for case, _ in speeds if case.captured]
    timed = [(case, r.status) for case, regressions in speeds for r in regressions if r.metric in TIMED]
    found = {status: [case for case, of in timed if of == status] for status in ("worse", "undecided")}
    return found["worse"] or found["undecided"]


def session_command(run: Run, name: str, judged_by: Sequence[str]) -> str:
    """The command of the session that made `run`, for the record `name` alone, or for all cases together. "" where pytest did
    not make it, or has no record of that name. Options that name a file to write are left out. judged_by: options in the place
    of those that said what it is judged by."""
    record = next((result.record for result in run.results if result.record.name == name), None)
    try:
        words = shlex.split(run.command)
    except ValueError:  # a file that somebody has edited
        words = []
    if not any(PurePath(word).name in PYTEST for word in words[:3]):
        return ""
    words = _whole_files(words)
    if record is None:
        plain = shlex.join(_without(words, WRITES | JUDGES))
        return " ".join([plain, "-m speed", *judged_by]) if name == ALL_CASES else ""
    [named] = options_of([record.case], Selection())
    kind = "speed" if isinstance(record, Drift) else record.kind
    plain = shlex.join(_without(words, WRITES | JUDGES | {f"--mp-{axis}" for axis in AXES}))
    return " ".join([plain, f"-m {kind}", *named, *judged_by])


def _whole_files(words: Sequence[str]) -> list[str]:
    """In the place of tests the files that they are in, each once: a test may be of a case that is not asked for."""
    kept: list[str] = []
    for word in words:
        file, of, _ = word.partition("::")
        if not of or file not in kept:
            kept.append(file)
    return kept


def _without(words: Sequence[str], options: Container[str]) -> list[str]:
    """Words of a command line without these options and their values."""
    kept: list[str] = []
    value_follows = False
    for word in words:
        option, equals, _ = word.partition("=")
        if option in options:
            value_follows = not equals
        elif value_follows:
            value_follows = False
        else:
            kept.append(word)
    return kept


def options_of(cases: Sequence[Case], selection: Selection) -> list[list[str]]:
    """The options of each command that is needed to name these cases and no others. There are several where one product of
    names would hold more. What `selection` says of size, device and data is in each."""
    found = boxes((_named(case, selection) for case in cases), axes=range(len(AXES)))
    return [_options(dict(zip(AXES, box, strict=True)), selection) for box in found]


def _named(case: Case, selection: Selection) -> tuple[str, ...]:
    """A name on each of `AXES`, "" where none is to be given."""
    sized = case.batch_size and (case.size != "fit" or selection.batch_sizes)
    strategy = "" if case.strategy in ("single", OWN_STRATEGY) else case.strategy
    batch = str(case.batch_size) if sized else ""
    return case.workload, case.precision, case.trainer, case.execution, str(case.gpus), strategy, batch


def _options(named: Mapping[str, Sequence[str]], selection: Selection) -> list[str]:
    names = {axis: ",".join(filter(None, named[axis])) for axis in AXES if set(named[axis]) != {UNNAMED.get(axis)}}
    values: list[tuple[str, str | None]] = [*names.items()]
    values += [("size", selection.size), ("device", selection.device), ("data", selection.data)]
    values += [("keep-fp32", ",".join(selection.keep_fp32))]
    values += [("load", path) for path in selection.load]
    return [f"--mp-{name} {shlex.quote(value)}" for name, value in values if value]
