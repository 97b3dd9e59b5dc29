"""What the README and the guides show of the product."""

import shutil
import tempfile
from pathlib import Path

from generator.markdown import table
from generator.runs import ROOT, SESSION, VARIANT, accepted, as_one, newest, run_of
from generator.scripts import script
from generator.terminal import printed, text
from mpcore.records.case import CAPTURED
from mpcore.report.document import Document, Section
from mpcore.report.figure import THROUGHPUT
from mpcore.report.render import render
from mpcore.report.rows import rows
from mpcore.report.sections.cases import cases

VERDICT = ROOT / "baselines" / "nvidia-h200" / "0003_8cc0f144.json"
"""A run with a regression that was measured: an allocator's setting made U-Net slower in FP32."""


def verdict() -> str:
    """The end of a session that failed: a saved run, judged against those that had been accepted before it."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / VERDICT.parent.name
        before.mkdir()
        for path in accepted(VERDICT.parent.name):
            if path < VERDICT:
                shutil.copy(path, before)
        lines = printed("judge", VERDICT.relative_to(ROOT), "--baselines", folder, code=1)
    return text(lines[lines.index("failed:") :].replace(f" --mp-baselines {folder}", ""))


def session() -> str:
    """The tables of a session on a CPU, as it ends."""
    lines = printed("judge", SESSION.relative_to(ROOT)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("bert-imdb"))
    return text("\n".join(lines[start : start + 12]))


def variant() -> str:
    """The table of a session that compares a kernel with its base, as for a pull request."""
    run = run_of(VARIANT)
    [section] = cases(run.results, run.failed, run.machine.hardware.name, folded=True)
    return render(Document("", [Section(tables=section.tables)]), "markdown").strip()


def compared() -> str:
    """What is said first of several machines: a sentence and a table."""
    lines = printed("compare", *(path.relative_to(ROOT) for path in accepted())).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("In short"))
    end = lines.index(THROUGHPUT.title, start)
    return text("\n".join(lines[start:end]).rstrip())


def on_a_gpu() -> str:
    """Steps of BERT-base in the newest accepted run, as graphs, and compiled where it has these."""
    run = as_one(newest())
    usual = [row for row in rows(run.results) if row["workload"] == "bert-imdb" and row["step_ms"] and not row["batch"]]
    ms = {(row["precision"], row["execution"]): f"{row['step_ms']:.2f}" for row in usual}
    measured = [execution for execution in CAPTURED if any(of == execution for _, of in ms)]
    shown = [
        (
            row["precision"],
            *(ms.get((row["precision"], execution), "-") for execution in measured),
            *(f"{row[name]:.2f}" if row[name] else "-" for name in ("over_fp32", "over_tf32")),
        )
        for row in usual
        if row["execution"] == "graph"
    ]
    said = f'`bert-imdb` on {run.machine.hardware.name}, a graph\'s speed-ups over FP32 and TF32; "-" was not measured.'
    headings = ("mode", *(f"{execution} ms" for execution in measured), "x fp32", "x tf32")
    return f"{table(headings, shown, 'l' + 'r' * (len(headings) - 1))}\n\n{said}"


def listing() -> str:
    """The map of the package, from its floors."""
    return f"```\n{script('architecture.py').listing()}\n```"
