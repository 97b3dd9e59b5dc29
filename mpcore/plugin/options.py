"""The options of the command line, and what they select: a bench, and the cases."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin.progress import ProgressLine
from mpcore.plugin.session import SESSION, Session

if TYPE_CHECKING:
    from mpcore.records import Case, Size


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mpcore", "mixed-precision benchmarks")
    group.addoption("--mp-workload", metavar="NAMES", help="workloads, separated by commas (default: all)")
    group.addoption("--mp-precision", metavar="NAMES", help="precision modes, separated by commas (default: all)")
    group.addoption(
        "--mp-execution",
        metavar="NAMES",
        help="eager, graph, compile, separated by commas (default: graph on a GPU, eager on a CPU)",
    )
    group.addoption("--mp-size", choices=("tiny", "full"), help="size of the models (default: full on a GPU, tiny on a CPU)")
    group.addoption("--mp-device", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: cuda where there is one)")
    group.addoption(
        "--mp-data",
        metavar="SOURCE",
        help="embedded, hub, or a folder with <set>/train.parquet and <set>/test.parquet (default: $MPCORE_DATA or embedded)",
    )
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
    return any(name.startswith("mp_") and value not in (None, []) for name, value in options)


def session_of(config: pytest.Config) -> Session:
    """The session's, made at the first call. Raises UsageError for an option that names what is not there."""
    if SESSION in config.stash:
        return config.stash[SESSION]
    from mpcore.data import DataError, Source
    from mpcore.hardware import default_device
    from mpcore.measure import Bench
    from mpcore.measure.bench import TARGET
    from mpcore.registry import UnknownName, executions, precisions, workloads

    try:
        workloads.check(_names(config, "mp_workload"))
        precisions.check(_names(config, "mp_precision"))
        executions.check(_names(config, "mp_execution"))
        checkpoints = _checkpoints(config.getoption("mp_checkpoint"))
        workloads.check(checkpoints)
        source = Source(config.getoption("mp_data") or os.environ.get("MPCORE_DATA") or "embedded")
    except (UnknownName, DataError) as error:
        raise pytest.UsageError(str(error)) from error
    tolerance = config.getoption("mp_tolerance")
    if tolerance is not None and not 0 <= tolerance <= 100:
        raise pytest.UsageError(f"--mp-tolerance {tolerance}: expected points of the metric, 0 to 100")
    target = config.getoption("mp_precision_target")
    if target is not None and not 0 < target <= 100:
        raise pytest.UsageError(f"--mp-precision-target {target}: expected per cent of the ratio, above 0 and at most 100")
    device = _device(config.getoption("mp_device")) if config.getoption("mp_device") else default_device()
    size: Size = config.getoption("mp_size") or ("full" if device.type == "cuda" else "tiny")

    def progress(title: str) -> ProgressLine:
        return ProgressLine(config, title)

    config.stash[SESSION] = Session(
        Bench(
            device,
            source,
            checkpoints,
            tolerance=tolerance,
            target=TARGET if target is None else target / 100,
            progress=progress,
        ),
        size,
    )
    return config.stash[SESSION]


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise pytest.UsageError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>") from error
    if device.type not in ("cpu", "cuda"):
        raise pytest.UsageError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise pytest.UsageError(f"--mp-device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


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


def _names(config: pytest.Config, option: str) -> list[str]:
    """The names given, none where the option is not. Raises UsageError for an option without a name in it."""
    text = config.getoption(option)
    if text is None:
        return []
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise pytest.UsageError(f"--{option.replace('_', '-')} {text!r}: expected names separated by commas")
    return names


def cases(config: pytest.Config, session: Session, own: Sequence[str]) -> "Iterator[tuple[Case, str | None]]":
    """Every selected case, with the reason if the device cannot run it. A test's `own` workloads are those that it may
    have; any other measures those that are named, or all that are not synthetic."""
    from mpcore.records import Case
    from mpcore.registry import executions, precisions, workloads

    device = session.bench.device
    named = _names(config, "mp_workload")
    real = [name for name in workloads.names() if not workloads[name].synthetic]
    names = (
        [name for name in own if not named or name in named] if own else named or real,
        _names(config, "mp_execution") or ["graph" if device.type == "cuda" else "eager"],
        _names(config, "mp_precision") or precisions.names(),
    )
    for workload, execution, precision in itertools.product(*names):
        case = Case(workload=workload, precision=precision, execution=execution, size=session.size)
        yield case, executions[execution].unsupported(device) or precisions[precision].unsupported(device)
