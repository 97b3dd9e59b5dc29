"""The committed runs that all figures come from: those of baselines/ and docs/runs/."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mpcore.records import OWN_TRAINER, Run
from mpcore.report.scaling import scaled
from mpcore.store import accepted_last, load
from mpcore.workloads import workloads

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
SESSION = DOCS / "runs" / "cpu.json"
"""What the README shows: a session without a GPU."""
VARIANT = DOCS / "runs" / "variant.json"
"""What the guide to a training of one's own shows: examples/my_kernel.py, without a GPU."""


def accepted(hardware: str = "*") -> list[Path]:
    """All of them, the newest of each kind of GPU last."""
    return sorted((ROOT / "baselines").glob(f"{hardware}/[0-9]*.json"))


@cache
def newest_of_each() -> dict[str, list[Run]]:
    """By the folder of the hardware: the runs that hold what was accepted last, with that alone. The newest comes first."""
    folders = dict.fromkeys(path.parent.name for path in accepted())
    return {hardware: accepted_last([run_of(path) for path in accepted(hardware)]) for hardware in folders}


def articles() -> list[Path]:
    """Runs on the data of papers and articles."""
    return sorted(path for path in (DOCS / "runs").glob("*.json") if path not in (SESSION, VARIANT))


@cache
def run_of(path: Path) -> Run:
    """Named as a reader in the project's root would."""
    return load(path.relative_to(ROOT))


def page_of(run: Run) -> Path:
    """Where its results are shown."""
    path = ROOT / run.path
    return DOCS / "results" / f"{path.stem if path in articles() else path.parent.name}.md"


def newest() -> list[Run]:
    """Of the one GPU that was measured last, what was accepted last of each workload."""
    alone = [runs for runs in newest_of_each().values() if runs[0].machine.hardware.count == 1]
    return max(alone, key=lambda runs: runs[0].datetime)


def as_one(runs: Sequence[Run]) -> Run:
    """The first of them, with the results of all, in the order in which workloads are measured."""
    results = [result for run in runs for result in run.results]
    if len(runs) > 1:
        results.sort(key=lambda result: workloads.names().index(result.record.case.workload))
    return runs[0].model_copy(update={"results": tuple(results)})


def spread() -> list[Run]:
    """Those in which steps on several GPUs stand beside the same on one: on the most GPUs first, then the newest."""
    runs = [run for run in _on_several_gpus() if any(each.weak_efficiency for each in scaled(run.results))]
    return sorted(runs, key=lambda run: (most_gpus(run), run.datetime), reverse=True)


def spread_by_others() -> list[Run]:
    """Those in which other trainers spread steps, too."""
    return [run for run in _on_several_gpus() if any(s.speed.case.trainer != OWN_TRAINER for s in scaled(run.results))]


def most_gpus(run: Run) -> int:
    return max(each.speed.case.gpus for each in scaled(run.results))


def _on_several_gpus() -> list[Run]:
    return [run for path in (*accepted(), *articles()) if scaled((run := run_of(path)).results)]
