"""A saved run as markdown: how it was made, then each workload's tables."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mpcore.records import AnyRecord, Numerics, Parity, Quality, Run, Speed
from mpcore.report.escape import code, escaped, harmless
from mpcore.report.rows import KEYS, METRIC, key, parity_rows, rows
from mpcore.report.tables import LEADING, NUMERICS, PARITY, SCORES, STEP, SWEEP, VERDICT, Columns, table


def markdown(run: Run) -> str:
    blocks = [_provenance(run), *_failed(run)]
    groups: dict[tuple[str, ...], list[AnyRecord]] = {}
    for result in run.results:
        if isinstance(result.record, Parity):
            continue
        case = result.record.case
        groups.setdefault(tuple(key(case)[:-1]), []).append(result.record)
    frame = rows(run.results, run.failed).set_index(KEYS[:-1], drop=False)
    for (workload, size, execution, batch), records in groups.items():
        part = frame.loc[[(workload, size, execution, batch)]]
        blocks.append("### " + escaped(f"{workload}, {size}, {execution}" + (f", batches of {batch}" if batch else "")))
        scores = SCORES | _others(part)
        sections: Any = ((Speed, STEP, _speed), (Quality, scores, _quality), (Numerics, NUMERICS, _numerics))
        for kind, columns, note in sections:
            of_kind = [r for r in records if isinstance(r, kind)]
            if of_kind:
                measured = part[part.precision.isin([r.case.precision for r in of_kind])]
                blocks += [note(of_kind), _table(measured, LEADING | columns)]
        blocks += _reasons(part)
        blocks += _epochs([r for r in records if isinstance(r, Quality)])
        blocks += _confusions([r for r in records if isinstance(r, Quality)])
        blocks += ["**Verdicts.**", _table(part, LEADING | VERDICT | {"failed": ("what failed", "{}")})]
    blocks += _sweep(frame.reset_index(drop=True))
    others = parity_rows(run.results)
    if len(others):
        blocks += ["### Against other trainers", _table(others, PARITY | VERDICT)]
    return "\n\n".join(blocks) + "\n"


def _failed(run: Run) -> list[str]:
    lines = [f"- {escaped(failure.test.split('::')[-1])}: {escaped(failure.sentence)}" for failure in run.failed]
    return ["**Failed.**", "\n".join(lines)] if lines else []


def _table(frame: pd.DataFrame, columns: Columns) -> str:
    return table(harmless(frame), columns, "github")


def _sweep(frame: pd.DataFrame) -> list[str]:
    """Where a workload was measured in batches of several sizes: from which on is mixed precision faster?"""
    blocks = []
    for workload, part in frame[frame.batch != ""].groupby("workload", sort=False):
        if part.batch.nunique() > 1:
            ordered = part.sort_values(["execution", "batch_size"], kind="stable")
            blocks += [f"### {escaped(str(workload))}, by size of batch", _table(ordered, SWEEP)]
    return blocks


def _provenance(run: Run) -> str:
    hardware = run.machine.hardware
    versions = ", ".join(f"{name} {version}" for name, version in run.machine.software.items())
    memory = f", {hardware.memory_bytes / 2**30:.0f} GiB" if hardware.memory_bytes else ""
    return f"Command: {code(run.command)}\n\n" + escaped(
        f"{hardware.count} x {hardware.name}{memory}, {hardware.cores} CPU cores ({hardware.cpu}); {versions}; "
        f"commit {(run.commit or 'unknown')[:12]}; {run.datetime[:16].replace('T', ' ')} UTC."
    )


def _speed(records: Sequence[Speed]) -> str:
    first = records[0]
    turns = any(r.rounds for record in records for r in record.references.values())
    together = ", in turns with its references where they are close" if turns else ""
    drift = ", ".join(f"{escaped(mode)} {100 * share:+.2f} %" for mode, share in first.drift.items())
    drifted = f" From the beginning to the end of the workload: {drift}." if drift else ""
    others = " Other processes were on the GPU." if any(r.gpu and r.gpu.other_processes for r in records) else ""
    return (
        f"**Speed.** Batch of {first.batch_size} {escaped(first.samples)}, random weights; medians of "
        f"{len(first.blocks.seconds)} or more blocks of each mode{together}.{drifted}{others}"
    )


def _reasons(part: pd.DataFrame) -> list[str]:
    """What sets the time, and what the mode says of itself."""
    known = part[part.why.notna()]
    said = [[text for text in (row.why, row.remark) if isinstance(text, str)] for row in known.itertuples()]
    lines = [f"- {escaped(mode)}: {escaped('; '.join(texts))}." for mode, texts in zip(known.precision, said, strict=True)]
    return ["\n".join(lines)] if lines else []


def _others(part: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The columns of the metrics beside the one that counts."""
    names = [c for c in part.columns if c.startswith(METRIC) and part[c].notna().any()]
    counts = {f"{METRIC}{metric.removesuffix(' %')}" for metric in part.metric.dropna()}
    return {name: (escaped(name.removeprefix(METRIC)), "{:.2%}") for name in names if name not in counts}


def _epochs(records: Sequence[Quality]) -> list[str]:
    """Of the first seed of each mode, where it was tested after each epoch."""
    lines = []
    for record in records:
        values = [epoch[record.metric] for epoch in record.trainings[0].epochs]
        if values:
            lines.append(f"- {escaped(record.case.precision)}: " + ", ".join("-" if v is None else f"{v:.3f}" for v in values))
    title = f"**{escaped(records[0].metric)} after each epoch**, seed {records[0].trainings[0].seed}." if lines else ""
    return [title, "\n".join(lines)] if lines else []


def _quality(records: Sequence[Quality]) -> str:
    first = records[0]
    seeds = ", ".join(str(t.seed) for t in first.trainings)
    data = f"{first.rows['train']:,} {first.samples} to train, {first.rows['test']:,} to test ({first.data})"
    steps = f"{max(t.steps for r in records for t in r.trainings)} steps of {first.batch_size}"
    return "**Trainings.** " + escaped(
        f"{data}; weights: {first.weights}; {steps}; seeds {seeds}; medians of times, means of scores."
    )


def _numerics(records: Sequence[Numerics]) -> str:
    first = records[0]
    return f"**Errors against FP64.** One batch of {first.batch_size} {escaped(first.samples)}, random weights, dropout off."


def _confusions(records: Sequence[Quality]) -> list[str]:
    """Of the first seed of each mode."""
    lines = []
    for record in records:
        training = record.trainings[0]
        if training.confusion is None:
            continue
        if len(training.confusion) == 2:
            (tn, fp), (fn, tp) = training.confusion
            text = f"TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        else:
            text = " / ".join(" ".join(str(n) for n in row) for row in training.confusion)
        diverged = training.diverged
        end = f"; diverged at step {diverged.step}: {diverged.reason}" if diverged else ""
        lines.append(f"- {escaped(record.case.precision)}: {text}{escaped(end)}")
    title = f"**Confusion matrices**, seed {records[0].trainings[0].seed} (rows: truth)." if records else ""
    return [title, "\n".join(lines)] if lines else []
