"""All that was measured of each workload in a run: times, trainings, errors against FP64, and what the gate says."""

from collections.abc import Sequence
from typing import TypeVar

from mpcore.errors import sentences
from mpcore.records import Drift, Numerics, Quality, Result, Run, Speed
from mpcore.report.columns import BATCHES, ERRORS, SPEED, TRAININGS, VERDICTS, WORK, Column, columns, table
from mpcore.report.document import Section
from mpcore.report.rows import METRIC, Row, group_of, grouped, how, keys, rows
from mpcore.report.sections.notes import drifted, more_seeds, worst_gradient

R = TypeVar("R", Speed, Quality, Numerics, Drift)


def details(run: Run) -> list[Section]:
    """A section for each workload, size and execution, and one for each workload that was timed in batches of several sizes."""
    found = rows(run.results, run.failed)
    return [*(_group(part, run.results) for part in grouped(found)), *_batches(found)]


def _group(part: Sequence[Row], results: Sequence[Result]) -> Section:
    first, group = part[0], group_of(part[0])
    own = [result for result in results if group_of(keys(result.record.case)) == group]
    batch = f", batches of {first['batch']}" if first["batch"] else ""
    title = f"{first['workload']}, {first['size']}, {how(first)}{batch}"
    sections = [*_speed(part, own), *_work(part), *_trainings(part, _of(Quality, own)), *_errors(part, _of(Numerics, own))]
    return Section(title, sections=[*sections, Section("Verdicts", tables=[table(part, columns(VERDICTS))])])


def _of(kind: type[R], results: Sequence[Result]) -> list[R]:
    return [result.record for result in results if isinstance(result.record, kind)]


def _speed(part: Sequence[Row], own: Sequence[Result]) -> list[Section]:
    speeds, timed = _of(Speed, own), [row for row in part if row["step_ms"] is not None]
    if not speeds:
        return []
    first = speeds[0]
    together = any(r.rounds for speed in speeds for r in speed.references.values())
    turns = ", in turns with its references where they are close" if together else ""
    drift = [f"From the beginning to the end of the workload: {drifted(drift.shares)}." for drift in _of(Drift, own)]
    others = ["Other processes were on the GPU."] if any(s.gpu and s.gpu.other_processes for s in speeds) else []
    blocks = f"medians of {len(first.blocks.seconds)} or more blocks of each mode"
    lead = f"Batch of {first.batch_size} {first.samples}, random weights; {blocks}{turns}."
    reasons = [f"{row['precision']}: {sentences(row['why'], row['remark'], row['compiled'])}." for row in timed]
    return [Section("Speed", " ".join([lead, *drift, *others]), [table(timed, columns(SPEED))], reasons)]


def _work(part: Sequence[Row]) -> list[Section]:
    counted = [row for row in part if row["casts"] is not None]
    lead = "Counted in one step that Python launches, and kernels as it is executed."
    said = [(row, (row["waits"], None if row["step_ms"] else row["compiled"])) for row in counted]  # with a time that is told
    reasons = [f"{row['precision']}: {each}." for row, of in said for each in of if each]
    return [Section("What a step does", lead, [table(counted, columns(("precision", *WORK)))], reasons)] if counted else []


def _trainings(part: Sequence[Row], trained: Sequence[Quality]) -> list[Section]:
    if not trained:
        return []
    first, seed = trained[0], f"seed {trained[0].trainings[0].seed}"
    seeds = ", ".join(str(t.seed) for t in first.trainings)
    tested = f", {first.rows['test']:,} to test" if "test" in first.rows else ""  # of an own step there is no test
    data = f"{first.rows['train']:,} {first.samples} to train{tested} ({first.data})"
    steps = f"{max(t.steps for quality in trained for t in quality.trainings)} steps of {first.batch_size}"
    lead = f"{data}; weights: {first.weights}; {steps}; seeds {seeds}; medians of times, means of scores."
    of = [row for row in part if row["train_s"] is not None]
    epochs, confusions = ([said for quality in trained if (said := words(quality))] for words in (_epochs, _confusion))
    return [
        Section(
            "Trainings", lead, [table(of, columns(TRAININGS) | _other_metrics(of))], [f"{said}." for said in more_seeds(of)]
        ),
        *([Section(f"{first.metric} after each epoch, {seed}", sentences=epochs)] if epochs else []),
        *([Section(f"Confusion matrices, {seed} (rows: truth)", sentences=confusions)] if confusions else []),
    ]


def _other_metrics(part: Sequence[Row]) -> dict[str, Column]:
    """Those beside the one that counts."""
    counts = {f"{METRIC}{row['metric'].removesuffix(' %')}" for row in part}
    names = dict.fromkeys(name for row in part for name in row if name.startswith(METRIC))
    return {name: Column(name.removeprefix(METRIC), "{:.2%}") for name in names if name not in counts}


def _epochs(quality: Quality) -> str:
    """Of the first seed, where it was tested after each epoch."""
    values = [epoch[quality.metric] for epoch in quality.trainings[0].epochs]
    said = ", ".join("-" if value is None else f"{value:.3f}" for value in values)
    return f"{quality.case.precision}: {said}" if said else ""


def _confusion(quality: Quality) -> str:
    """Of the first seed."""
    matrix, diverged = quality.trainings[0].confusion, quality.trainings[0].diverged
    if matrix is None:
        return ""
    if len(matrix) == 2:
        (tn, fp), (fn, tp) = matrix
        text = f"TN {tn}, FP {fp}, FN {fn}, TP {tp}"
    else:
        text = " / ".join(" ".join(str(n) for n in row) for row in matrix)
    end = f"; diverged at step {diverged.step}: {diverged.reason}" if diverged else ""
    return f"{quality.case.precision}: {text}{end}"


def _errors(part: Sequence[Row], numerics: Sequence[Numerics]) -> list[Section]:
    if not numerics:
        return []
    first = numerics[0]
    lead = f"One batch of {first.batch_size} {first.samples}, random weights, dropout off."
    of = [row for row in part if row["gradient_error"] is not None]
    sentences = [*dict.fromkeys(f"{n.remark}." for n in numerics if n.remark), *filter(None, map(_worst_tensor, numerics))]
    return [Section("Errors against FP64", lead, [table(of, columns(ERRORS))], sentences)]


def _worst_tensor(numerics: Numerics) -> str:
    """Of an older record there is nothing to say."""
    name, worst = numerics.case.precision, numerics.worst_tensor
    if numerics.not_finite:
        return f"{name}: {numerics.not_finite}."
    if worst is None:
        return ""
    return f"{name}: {worst_gradient(worst)}."


def _batches(found: Sequence[Row]) -> list[Section]:
    """Of workloads in batches of several sizes: from which on is mixed precision faster?"""
    workloads: dict[str, list[Row]] = {}
    for row in found:
        if row["batch"]:
            workloads.setdefault(row["workload"], []).append(row)
    return [
        Section(
            f"{workload}, by size of batch",
            tables=[table(sorted(of, key=lambda row: (row["execution"], int(row["batch"]))), columns(BATCHES))],
        )
        for workload, of in workloads.items()
        if len({row["batch"] for row in of}) > 1
    ]
