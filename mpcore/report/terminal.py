"""The end of the terminal's output: a block for each workload, then what failed, then what was not run."""

import textwrap
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from mpcore.records import Quality, Result, Speed
from mpcore.report.rows import KEYS, parity_rows, rows
from mpcore.report.tables import ERRORS, LEADING, QUALITY, RIVALS, SPEED, VERDICT, table

WIDTH = 100


def summary(results: Sequence[Result], skipped: Sequence[str], device: str) -> str:
    """`skipped` holds the reason of each case that was not run."""
    blocks = []
    frame = rows(results)
    for (workload, size, execution, _), part in frame.groupby(KEYS[:-1], sort=False):
        batch = part.batch_size.dropna()
        of = f", batch of {batch.iloc[0]}" if len(batch) else ""
        title = f"{workload} ({size}, {execution}{of}, on {device})"
        blocks.append(f"{title}\n{table(part, LEADING | SPEED | QUALITY | ERRORS | VERDICT, 'simple')}{_reasons(part)}")
    if len(frame):
        blocks.append(LEGEND)
    others = parity_rows(results)
    if len(others):
        blocks.append(f"against other trainers, on {device}\n{table(others, RIVALS | VERDICT, 'simple')}")
    blocks += [note for note in (_weights(results), _machine(results), _failures(results), _skips(skipped)) if note]
    return "\n\n".join(blocks)


LEGEND = """x fp32, x tf32: times as fast as that mode. GiB: most memory that an eager step takes. train:
seconds of a training. pts: points by which it is better than fp32, same seeds. grad., upd.:
relative errors of a gradient and of 20 updates against FP64. "-": not measured."""


def _reasons(part: pd.DataFrame) -> str:
    known = part[part.why.notna()]
    lines = [wrapped(f"{row.precision}: {row.why}") for row in known.itertuples()]
    return "\n\n" + "\n".join(lines) if lines else ""


def wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _weights(results: Sequence[Result]) -> str:
    """Where the trainings started from and on what: an accuracy means little without."""
    known = {}
    for result in results:
        if isinstance(result.record, Quality):
            record = result.record
            weights = "random weights" if record.weights == "random" else f"weights of {record.weights}"
            rows = f"{record.rows['train']:,} {record.samples} ({record.data} data)"
            known[record.case.workload] = f"{record.case.workload}: trained from {weights} on {rows}"
    return "\n".join(known.values())


def _machine(results: Sequence[Result]) -> str:
    """How far the machine drifted while a workload was timed, what it could not measure, and who else was on it."""
    speeds = [r.record for r in results if isinstance(r.record, Speed)]
    lines = {
        f"{s.case.workload} ({s.case.execution}): from its beginning to its end "
        + ", ".join(f"{mode} took {100 * share:+.2f} %" for mode, share in s.drift.items()): None
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


def _failures(results: Sequence[Result]) -> str:
    failed = [v.sentence for r in results for v in r.verdicts if not v.passed]
    known = [v.sentence for r in results for v in r.verdicts if v.known]
    return "\n".join(listed("known:", known) + listed("failed:", failed))


def _skips(skipped: Sequence[str]) -> str:
    counted = Counter(skipped)
    return "\n".join(listed("not run:", [f"{reason} ({n} {'case' if n == 1 else 'cases'})" for reason, n in counted.items()]))


def listed(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(wrapped(line, "  ") for line in lines)] if lines else []
