"""The end of the terminal's output: a block for each workload, then what failed, then what was not run."""

from collections import Counter
from collections.abc import Sequence

from mpcore.records import Quality, Result
from mpcore.report.rows import rows
from mpcore.report.tables import ERRORS, LEADING, QUALITY, SPEED, VERDICT, table


def summary(results: Sequence[Result], skipped: Sequence[str], device: str) -> str:
    """`skipped` holds the reason of each case that was not run."""
    blocks = []
    frame = rows(results)
    for (workload, size, execution), part in frame.groupby(["workload", "size", "execution"], sort=False):
        batch = part.batch_size.dropna()
        of = f", batch of {batch.iloc[0]} {part.unit.iloc[0]}" if len(batch) else ""
        title = f"{workload} ({size}, {execution}{of}, on {device})"
        blocks.append(f"{title}\n{table(part, LEADING | SPEED | QUALITY | ERRORS | VERDICT, 'simple')}")
    if len(frame):
        blocks.append(LEGEND)
    blocks += [note for note in (_weights(results), _failures(results), _skips(skipped)) if note]
    return "\n\n".join(blocks)


LEGEND = """x fp32, x tf32: times as fast as that mode, in turns with it. GiB: most memory that a step takes.
train: seconds of a training. points: accuracy less that of fp32, same seeds. grad., upd.: relative
errors of a gradient and of 20 updates against FP64. "-": not measured."""


def _weights(results: Sequence[Result]) -> str:
    """Where the trainings started from and on what: an accuracy means little without."""
    known = {}
    for result in results:
        if isinstance(result.record, Quality):
            record = result.record
            weights = "random weights" if record.weights == "random" else f"weights of {record.weights}"
            known[record.case.workload] = (
                f"{record.case.workload}: trained from {weights} on {record.rows['train']:,} {record.unit} ({record.data} data)"
            )
    return "\n".join(known.values())


def _failures(results: Sequence[Result]) -> str:
    failed = [v.sentence for r in results for v in r.verdicts if not v.passed]
    known = [v.sentence for r in results for v in r.verdicts if v.known]
    return "\n".join(_listed("known:", known) + _listed("failed:", failed))


def _skips(skipped: Sequence[str]) -> str:
    counted = Counter(skipped)
    return "\n".join(_listed("not run:", [f"{reason} ({n} {'case' if n == 1 else 'cases'})" for reason, n in counted.items()]))


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []
