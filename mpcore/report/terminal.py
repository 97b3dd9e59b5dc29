"""The end of the terminal's output: a block for each workload and what to know of it, what changed since accepted runs, and
last, where it is read first, what failed, where the run was saved and what to type next."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from mpcore.records import FailedTest, Quality, Result, Speed
from mpcore.report.advice import advice
from mpcore.report.against import against
from mpcore.report.lines import WIDTH, counted, listed, wrapped
from mpcore.report.outcome import Outcome
from mpcore.report.rows import KEYS, parity_rows, rows
from mpcore.report.tables import ERRORS, LEADING, QUALITY, RIVALS, SINCE, SPEED, VERDICT, Columns, table, title

FIGURES = LEADING | SPEED | QUALITY | ERRORS | VERDICT
SPARE = ("train_s", "gradient_error", "update_error", "score")
"""What is left out first where a table is wider than a terminal: reports have it."""
NAME = 24
"""Characters of a mode's name that a table has room for."""
LEGEND = """x fp32, x tf32: times as fast as that mode; an eager step in blocks beside that mode's, which its
step ms, a median of all, need not give. GiB: most memory that an eager step takes. train: seconds
of a training. pts: points, or of a perplexity per cent, by which it is better than fp32, same
seeds. grad., upd.: relative errors of a gradient and of 20 updates against FP64. "-": not measured."""
SINCE_LEGEND = "since: the gravest of what changed since accepted runs."


def terminal(outcome: Outcome) -> str:
    failures = "\n".join(listed("failed:", outcome.failures))
    run = outcome.run
    told = summary(run.results, outcome.skipped, run.machine.hardware.name, run.failed)
    return "\n\n".join(filter(None, [told, against(outcome), failures, advice(outcome)]))


def summary(results: Sequence[Result], skipped: Sequence[str], device: str, failed: Sequence[FailedTest] = ()) -> str:
    """`skipped` holds the reason of each case that was not run; failed: tests, whether or not they left a result."""
    frame = rows(results, failed)
    beside = not frame.since.dropna().eq("new").all()
    columns = FIGURES | SINCE if beside else FIGURES
    blocks = [
        f"{wrapped(title(part, device))}\n{_fitting(part, columns)}{_reasons(part)}"
        for _, part in frame.groupby(KEYS[:-1], sort=False)
    ]
    if len(frame):
        blocks.append(f"{LEGEND}\n{SINCE_LEGEND}" if beside else LEGEND)
    others = parity_rows(results)
    if len(others):
        blocks.append(f"against other trainers, on {device}\n{table(others, RIVALS | VERDICT, 'simple')}")
    blocks += [note for note in (_weights(results), _machine(results), _known(results), _skips(skipped)) if note]
    return "\n\n".join(blocks)


def _fitting(part: pd.DataFrame, columns: Columns) -> str:
    """The table, without as many of the columns `SPARE` as make it too wide."""
    short = part.assign(precision=[name if len(name) <= NAME else f"{name[: NAME - 1]}…" for name in part.precision])
    for spared in range(len(SPARE) + 1):
        text = table(short, {name: column for name, column in columns.items() if name not in SPARE[:spared]}, "simple")
        if max(map(len, text.splitlines())) <= WIDTH:
            break
    return text


def _reasons(part: pd.DataFrame) -> str:
    known = part[part.why.notna()]
    lines = [wrapped(f"{row.precision}: {row.why}") for row in known.itertuples()]
    return "\n\n" + "\n".join(lines) if lines else ""


def _weights(results: Sequence[Result]) -> str:
    """Where the trainings started from and on what: an accuracy means little without."""
    known = {}
    for result in results:
        if isinstance(result.record, Quality):
            record = result.record
            weights = "random weights" if record.weights == "random" else f"weights of {record.weights}"
            rows = f"{record.rows['train']:,} {record.samples} ({record.data} data)"
            known[record.case.workload] = wrapped(f"{record.case.workload}: trained from {weights} on {rows}")
    return "\n".join(known.values())


def _machine(results: Sequence[Result]) -> str:
    """How far the machine drifted while a workload was timed, what it could not measure, and who else was on it."""
    speeds = [r.record for r in results if isinstance(r.record, Speed)]
    lines = {
        wrapped(
            f"{s.case.workload} ({s.case.execution}): from its beginning to its end "
            + ", ".join(f"{mode} took {100 * share:+.2f} %" for mode, share in s.drift.items())
        ): None
        for s in speeds
        if s.drift
    }
    for s in speeds:
        for mode, why in s.missing.items():
            lines[wrapped(f"{s.case.workload} ({s.case.execution}): no {mode} to compare with: {why}")] = None
    if any(s.gpu and s.gpu.other_processes for s in speeds):
        lines["other processes were on the GPU while it was timed"] = None
    if any(s.device == "cuda" and s.gpu is None for s in speeds):
        lines["NVML does not answer: clocks, power and throttling of the GPU are not known"] = None
    return "\n".join(lines)


def _known(results: Sequence[Result]) -> str:
    return "\n".join(listed("known:", [v.sentence for r in results for v in r.verdicts if v.known]))


def _skips(skipped: Sequence[str]) -> str:
    reasons = Counter(skipped).items()
    return "\n".join(listed("not run:", [f"{reason} ({counted(count, 'case')})" for reason, count in reasons]))
