"""The options of the command line, and what they select: a bench, and the cases."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpcore import selection
from mpcore.plugin.progress import ProgressLine
from mpcore.plugin.session import SESSION, Session
from mpcore.selection import ALL, SelectionError

if TYPE_CHECKING:
    from mpcore.records import Case, Selection

MOST_SEEDS = 1000


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mpcore", "mixed-precision benchmarks")
    selection.add_options(group.addoption)
    parser.addini("mp_load", type="paths", help="Python files that register workloads or modes of your own")
    group.addoption(
        "--mp-accuracy",
        metavar="NAMES",
        help="workloads that are trained to the end, separated by commas, or all (default: all but those that take long)",
    )
    group.addoption("--mp-seeds", metavar="N", type=int, help="trainings of each mode, from the seeds 0 to N - 1 (default: 3)")
    group.addoption(
        "--mp-checkpoint",
        metavar="WORKLOAD=WEIGHTS",
        action="append",
        default=[],
        help="fine-tune from a folder or a hub id instead of random weights; may be repeated",
    )
    group.addoption(
        "--mp-tolerance", metavar="POINTS", type=float, help="accuracy that a mode may lose (default: the workload's own)"
    )
    group.addoption(
        "--mp-precision-target",
        metavar="PERCENT",
        type=float,
        help="half-width of a ratio's 99 %% interval that timing goes on for, within a time limit (default: 0.2)",
    )


def given(config: pytest.Config) -> bool:
    """Whether any of them is."""
    options = config.option.__dict__.items()
    return any(name.startswith("mp_") and value not in (None, [], False) for name, value in options)


def selection_of(config: pytest.Config) -> "Selection":
    """What the options name, with all files of a user's own. Raises UsageError."""
    try:
        return selection.selection_of(config.option).model_copy(update={"load": _files(config)})
    except SelectionError as error:
        raise pytest.UsageError(str(error)) from error


def session_of(config: pytest.Config) -> Session:
    """The session's, made at the first call. Raises UsageError for an option that names what is not there."""
    if SESSION in config.stash:
        return config.stash[SESSION]
    from mpcore.measure import Bench
    from mpcore.measure.bench import SEEDS, TARGET
    from mpcore.registry import UnknownName, workloads

    chosen = selection_of(config)
    try:
        selection.check(chosen)
        workloads.check(name for name in selection.names(config.option, "mp_accuracy") if name != ALL)
        checkpoints = _checkpoints(config.getoption("mp_checkpoint"))
        workloads.check(checkpoints)
        source, device = selection.source_of(chosen), selection.device_of(chosen)
    except (UnknownName, SelectionError) as error:
        raise pytest.UsageError(str(error)) from error
    tolerance = config.getoption("mp_tolerance")
    if tolerance is not None and not 0 <= tolerance <= 100:
        raise pytest.UsageError(f"--mp-tolerance {tolerance}: expected points of the metric, 0 to 100")
    target = config.getoption("mp_precision_target")
    if target is not None and not 0 < target <= 100:
        raise pytest.UsageError(f"--mp-precision-target {target}: expected per cent of the ratio, above 0 and at most 100")
    seeds = config.getoption("mp_seeds")
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise pytest.UsageError(f"--mp-seeds {seeds}: expected a number of trainings from 1 to {MOST_SEEDS}")

    def progress(title: str) -> ProgressLine:
        return ProgressLine(config, title)

    config.stash[SESSION] = Session(
        Bench(
            device,
            source,
            checkpoints,
            tolerance=tolerance,
            target=TARGET if target is None else target / 100,
            seeds=range(SEEDS if seeds is None else seeds),
            progress=progress,
        ),
        selection.size_of(chosen, device),
    )
    return config.stash[SESSION]


def _files(config: pytest.Config) -> tuple[str, ...]:
    """Of a user's own workloads and modes, each once."""
    on_command_line = [config.invocation_params.dir / path for path in config.getoption("mp_load")]
    return tuple(dict.fromkeys(str(Path(p).resolve()) for p in [*config.getini("mp_load"), *on_command_line]))


def _checkpoints(texts: Sequence[str]) -> dict[str, str]:
    """By workload."""
    checkpoints: dict[str, str] = {}
    for text in texts:
        workload, separator, weights = text.partition("=")
        if not (separator and workload and weights):
            raise pytest.UsageError(f"--mp-checkpoint {text!r}: expected WORKLOAD=WEIGHTS, such as bert-imdb=path/to/weights")
        if workload in checkpoints:
            raise pytest.UsageError(f"--mp-checkpoint {text!r}: {workload} has {checkpoints[workload]!r} already")
        checkpoints[workload] = weights
    return checkpoints


def trained(config: pytest.Config, workload: str) -> bool:
    """Whether `workload` is to be trained to the end of its recipe."""
    from mpcore.registry import workloads

    asked = selection.names(config.option, "mp_accuracy")
    return ALL in asked or workload in asked if asked else not workloads[workload].long_training


def chosen(config: pytest.Config, *, on_request: bool) -> tuple[list[str], list[str]]:
    """Workloads and modes: those that are named, or all that are not synthetic, and all modes that are not `on_request`
    unless these are wanted too."""
    session_of(config)
    named = selection_of(config)
    return selection.workloads_of(named), selection.precisions_of(named, on_request=on_request)


def cases(config: pytest.Config, session: Session, own: Sequence[str]) -> "Iterator[tuple[Case, str | None]]":
    """Every selected case, with the reason if the device cannot run it. A test's `own` workloads are those that it may
    have; any other measures those that are named, or all that are not synthetic."""
    named = selection_of(config)
    workloads = [name for name in own if not named.workloads or name in named.workloads] if own else None
    return selection.cases(named, session.bench.device, workloads)
