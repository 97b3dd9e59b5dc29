"""A saved run as markdown: how it was made, then each workload's tables."""

from mpcore.records import Quality, Run, Speed
from mpcore.report.rows import rows
from mpcore.report.tables import LEADING, NUMERICS, SCORES, SPEED, VERDICT, table


def markdown(run: Run) -> str:
    blocks = [_provenance(run)]
    frame = rows(run.results)
    for (workload, size, execution), part in frame.groupby(["workload", "size", "execution"], sort=False):
        blocks.append(f"### {workload}, {size}, {execution}")
        for title, columns in (("Speed", SPEED), ("Trainings", SCORES), ("Errors against FP64", NUMERICS)):
            measured = part[part[list(columns)].notna().any(axis=1)]
            if len(measured):
                blocks += [
                    f"**{title}.** {_note(run, str(workload), title)}".strip(),
                    table(measured, LEADING | columns, "github"),
                ]
        blocks += _confusions(run, str(workload))
        blocks.append(table(part, LEADING | VERDICT, "github"))
    return "\n\n".join(blocks) + "\n"


def _provenance(run: Run) -> str:
    hardware = run.machine.hardware
    versions = ", ".join(f"{name} {version}" for name, version in run.machine.software.items())
    memory = f", {hardware.memory_bytes / 2**30:.0f} GiB" if hardware.memory_bytes else ""
    return (
        f"Command: `{run.machine.command}`\n\n"
        f"{hardware.count} x {hardware.name}{memory}, {hardware.cores} CPU cores ({hardware.cpu}); {versions}; "
        f"commit {(run.commit or 'unknown')[:12]}; {run.datetime[:16].replace('T', ' ')} UTC."
    )


def _note(run: Run, workload: str, title: str) -> str:
    records = [r.record for r in run.results if r.record.case.workload == workload]
    if title == "Speed":
        speed = next(r for r in records if isinstance(r, Speed))
        blocks = len(speed.blocks.seconds)
        return f"Batch of {speed.batch_size} {speed.unit}, random weights; {blocks} blocks of each mode, in turns."
    if title == "Trainings":
        quality = next(r for r in records if isinstance(r, Quality))
        seeds = ", ".join(str(t.seed) for t in quality.trainings)
        epochs = quality.trainings[0].steps
        return (
            f"{quality.rows['train']:,} {quality.unit} to train, {quality.rows['test']:,} to test ({quality.data}); weights: "
            f"{quality.weights}; {epochs} steps of {quality.batch_size}; seeds {seeds}; medians of times, means of scores."
        )
    return "One batch of 32 at most, dropout off."


def _confusions(run: Run, workload: str) -> list[str]:
    blocks = []
    for result in run.results:
        record = result.record
        if not isinstance(record, Quality) or record.case.workload != workload:
            continue
        matrix, seed = record.trainings[0].confusion, record.trainings[0].seed
        if matrix is None:
            continue
        if len(matrix) == 2:
            (tn, fp), (fn, tp) = matrix
            text = f"TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        else:
            text = " / ".join(" ".join(str(n) for n in row) for row in matrix)
        diverged = record.trainings[0].diverged
        blocks.append(
            f"- {record.case.precision}, seed {seed}: {text}"
            + (f"; diverged at step {diverged.step}: {diverged.reason}" if diverged else "")
        )
    return ["Confusion matrices (rows: truth):", "\n".join(blocks)] if blocks else []
