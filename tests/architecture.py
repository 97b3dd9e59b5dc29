"""The map of the package: its floors, from the top down. `python tests/architecture.py` prints it for the README.

A package or module imports only from floors below its own; within a package no two files import each other in a circle.
tests/test_architecture.py holds both, file by file.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent

FLOORS: list[dict[str, str]] = [
    {"__main__": "python -m mpcore"},
    {"commands": "its commands, one file each"},
    {"contract": "what every mode keeps to with every workload: pytest --pyargs mpcore.contract"},
    {"plugin": "pytest's hooks, options and fixtures; the session; pytest-benchmark's adapter"},
    {"trend": "figures of many runs, and where they changed"},
    {"calibrate": "the gate's own false alarms and power, simulated and measured"},
    {"doctor": "what would spoil figures here, and what will run"},
    {"ab": "base against head, in pairs of fresh processes"},
    {"parallel": "cases on several ranks: who starts them, and one of them"},
    {"runner": "a fresh process that measures cases"},
    {"measure": "bench: one case in, one record out, and nothing judged"},
    {"matrix": "the cases that a selection names"},
    {"loading": "files of a user's own"},
    {"trainers": "who makes a training step, one file a trainer"},
    {"training": "a training step, and whole trainings", "adapters": "trainings of other libraries as steps"},
    {"strategies": "how a step is spread over ranks: single, ddp, fsdp"},
    {"workloads": "the workloads, one file each", "precision": "the modes, one file a mechanism"},
    {"execution": "how a step is run, one file each"},
    {"device": "the machine, its memory and clocks, what runs on it", "data": "data sets as tensors"},
    {"report": "a document, its sections and its renderers; the page; the frame"},
    {"store": "saved runs and baselines, written whole or not at all"},
    {"gate": "thresholds, checks, regressions: from records to judgements"},
    {"kernels": "names of kernels to families, and what bounds a step"},
    {"selection": "options to names", "project": "the project's root and settings"},
    {
        "registry": "names to classes",
        "errors": "exceptions as one sentence",
        "signals": "what ends a process, put off",
        "system": "what nothing can be measured without",
    },
    {"records": "everything that is stored, one file a record"},
]
BESIDE = {
    "benchmarks": "the suite, a screen a test; in a wheel mpcore.suite",
    "baselines": "accepted runs, by hardware",
    "published": "figures of papers and articles",
    "examples": "what the guides quote",
    "docs": "guides, reference, explanation, results",
}
WIDTH = 16


def floor(name: str) -> int:
    """Counted from below. Raises ValueError for a package or module without a floor."""
    for number, names in enumerate(reversed(FLOORS)):
        if name in names:
            return number
    raise ValueError(f"{name} has no floor: expected a line in {Path(__file__).name}")


def listing() -> str:
    """As the README shows it."""
    lines = [f"{name + '/':{WIDTH}}{sentence}" for name, sentence in BESIDE.items()]
    lines.append("mpcore/")
    for name, sentence in (item for names in FLOORS for item in names.items()):
        shown = f"{name}.py" if (ROOT / "mpcore" / f"{name}.py").is_file() else f"{name}/"
        lines.append(f"  {shown:{WIDTH}}{sentence}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(listing())
