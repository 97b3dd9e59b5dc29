"""The pages of results: a heading, one sentence, a command and tables, from committed runs."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from generator.calibration import calibration, sensitivity
from generator.markdown import markdown, page, table
from generator.runs import DOCS, ROOT, accepted, articles, as_one, newest, newest_of_each, run_of
from generator.scripts import script
from generator.terminal import printed
from mpcore.commands.theory import theory
from mpcore.precision import precisions
from mpcore.records import Run
from mpcore.report.alike import joined
from mpcore.report.document import Section
from mpcore.report.documents import kernels_document, published_document, races_document, run_document
from mpcore.report.render import render
from mpcore.report.text import provenance
from mpcore.store import load_published


def results() -> dict[str, Callable[[], str | None]]:
    """By the name of the page."""
    made: dict[str, Callable[[], str | None]] = {
        "across-hardware": across_hardware,
        "published": beside_published,
        "trainers": beside_trainers,
        "kernels": longest_kernels,
        "calibration": calibration,
        "sensitivity": sensitivity,
        "small-numbers": small_numbers,
        "planted-faults": planted_faults,
    }
    for hardware, runs in newest_of_each().items():
        made[hardware] = lambda runs=runs, hardware=hardware: of_runs(runs, f"What was accepted last on {hardware}")
    for path in articles():
        made[path.stem] = lambda path=path: of_runs([run_of(path)], f"The run {path.stem}")
    return made


def listed() -> str:
    """The pages of results, by name."""
    found = sorted(path for path in (DOCS / "results").glob("*.md") if path.name != "README.md")
    lines = [f"- [{path.read_text().splitlines()[0].removeprefix('# ')}]({path.name})" for path in found]
    made = "`python docs/generate.py` makes all pages here from committed runs."
    return "\n".join(["# Results", "", made, "", *lines, ""])


def of_runs(runs: Sequence[Run], title: str) -> str:
    """What they measured, each workload in one of them."""
    tables = only_tables(run_document(as_one(runs)).sections[1:])
    command = f"python -m mpcore report {' '.join(run.path for run in runs)}"
    return page(title, "\n\n".join(_made(run, several=len(runs) > 1) for run in runs), command, markdown(*tables))


def _made(run: Run, several: bool) -> str:
    """On what, of what, when, and how. several: the workloads, too, of which it is."""
    machine = "\n".join(f"- {part}" for part in provenance(run).split("; "))
    workloads = joined(sorted({result.record.case.workload for result in run.results}))
    measured = f"Measured by `{run.command}`." if run.command else "Its command was not kept."
    return "\n\n".join([f"{workloads}:" if several else "", machine, measured]).strip()


def only_tables(sections: Iterable[Section]) -> Iterator[Section]:
    """A heading, a sentence and tables. Lists of figures, which have no table, stay; what a report says of its tables goes."""
    for section in sections:
        lead = re.split(r"(?<=[.;]) ", section.lead)[0].rstrip(";.")
        yield replace(
            section,
            lead=f"{lead}." if lead else "",
            sentences=() if section.tables else section.sentences,
            sections=list(only_tables(section.sections)),
            commands=(),
            folded=False,
        )


def across_hardware() -> str:
    paths = [path.relative_to(ROOT) for path in accepted()]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "across.md"
        printed("compare", *paths, "-o", written)
        lines = written.read_text().partition("\n\n")[2]
    sentence = "Of several runs of one hardware the figures are the median. Eager times and what was compiled are the range."
    return page("Across hardware", sentence, "python -m mpcore compare baselines", re.sub(r"(?m)^- .*\n\n", "", lines))


def beside_published() -> str:
    runs = [*map(run_of, articles()), *(run for found in newest_of_each().values() for run in found)]
    document = published_document(runs, load_published(ROOT / "published"))
    sentence = "`x` is how many times as fast as the modes under `over`: steps where they were timed, else trainings."
    command = f"python -m mpcore published {' '.join(run.path for run in runs)}"
    return page("Beside published figures", sentence, command, render(document, "markdown"))


def longest_kernels() -> str:
    sentence = "The five longest kernels of each workload's fastest step whose updates are kept, each with a reason."
    shown = render(kernels_document([as_one(newest())], 5), "markdown")
    return page("Kernels", sentence, f"python -m mpcore kernels {' '.join(run.path for run in newest())}", shown)


def small_numbers() -> str:
    sentence = "What becomes of small updates and gradients in each mode, computed on a CPU."
    return page("Small numbers", sentence, "python -m mpcore theory", render(theory(torch.device("cpu")), "markdown"))


def planted_faults() -> str:
    faults = script("gate/test_planted_work.py").FAULTS
    rows = [
        (
            name,
            fault.workload,
            f"`{fault.precision}`",
            _on_a_cpu(fault),
            "yes" if fault.fails else "no",
            f"`{escaped(fault.says)}`",
        )
        for name, fault in faults.items()
    ]
    sentence = (
        "Faults that are planted in a step, and the pattern that the gate's sentence must fit. A GPU sees all of them. What "
        "adds nothing to a step is told as `changed` or `better`, and does not fail. Errors, times and trainings judge it."
    )
    shown = table(("fault", "workload", "mode", "seen on a CPU", "fails on a CPU", "what is said"), rows)
    return page("Planted faults", sentence, "pytest tests/gate/test_planted_work.py", shown)


YES = {True: "yes", False: "no"}


def _on_a_cpu(fault: Any) -> str:
    """Whether `ab --work-only` sees it there."""
    return YES[fault.cpu and precisions[fault.precision].unsupported(torch.device("cpu")) is None]


def escaped(pattern: str) -> str:
    """As it is read, with what would end a cell escaped."""
    return pattern.replace("\\", "").replace("|", "\\|")


def beside_trainers() -> str | None:
    """None where no committed run holds a race."""
    for hardware in sorted(newest_of_each()):
        runs = [run_of(path) for path in (*accepted(hardware), *articles())]
        ours = [run for run in runs if run.machine.hardware.key == hardware]
        raced = [run for run in ours if any(result.record.kind == "race" for result in run.results)]
        document = races_document(raced) or (run_document(raced[-1]) if raced else None)
        if document:
            sentence = "Steps of mpcore beside those of other trainers, in milliseconds."
            command = f"python -m mpcore report {' '.join(run.path for run in raced)}"
            return page("Beside other trainers", sentence, command, markdown(*only_tables(document.sections)))
    return None
