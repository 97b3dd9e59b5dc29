"""The options of the command line, and what they select: a bench, and the cases."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin.own import load_own
from mpcore.plugin.progress import ProgressLine
from mpcore.plugin.session import SESSION, Session

if TYPE_CHECKING:
    from mpcore.records import Case, Size

ALL = "all"


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mpcore", "mixed-precision benchmarks")
    load = "a Python file that registers workloads or modes of your own; may be repeated"
    group.addoption("--mp-load", metavar="FILE", action="append", default=[], help=load)
    parser.addini("mp_load", type="paths", help="Python files that register workloads or modes of your own")
    group.addoption("--mp-workload", metavar="NAMES", help="workloads, separated by commas (default: all)")
    group.addoption(
        "--mp-precision",
        metavar="NAMES",
        help="precision modes, separated by commas, or all (default: fp32, tf32, fp16-amp, bf16-amp, fp16-manual, bf16-manual, "
        "bf16-true and your own)",
    )
    group.addoption(
        "--mp-accuracy",
        metavar="NAMES",
        help="workloads that are trained to the end, separated by commas, or all (default: all but those that take long)",
    )
    group.addoption("--mp-seeds", metavar="N", type=int, help="trainings of each mode, from the seeds 0 to N - 1 (default: 3)")
    group.addoption(
        "--mp-batch", metavar="SIZES", help="sizes of a batch, separated by commas (default: that of the workload's recipe)"
    )
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
    from mpcore.measure.bench import SEEDS, TARGET
    from mpcore.registry import UnknownName, executions, precisions, workloads

    load_own(config)
    try:
        workloads.check(_names(config, "mp_workload"))
        workloads.check(name for name in _names(config, "mp_accuracy") if name != ALL)
        precisions.check(name for name in _names(config, "mp_precision") if name != ALL)
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
    seeds = config.getoption("mp_seeds")
    if seeds is not None and seeds < 1:
        raise pytest.UsageError(f"--mp-seeds {seeds}: expected a number of trainings, 1 or more")
    _batch_sizes(config)
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
            seeds=range(SEEDS if seeds is None else seeds),
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


def _batch_sizes(config: pytest.Config) -> list[int | None]:
    """Those given, or None for that of the recipe."""
    sizes: list[int | None] = []
    for text in _names(config, "mp_batch"):
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise pytest.UsageError(f"--mp-batch {text!r}: expected sizes of a batch, such as 64,256")
        sizes.append(int(text))
    return sizes or [None]


def trained(config: pytest.Config, workload: str) -> bool:
    """Whether `workload` is to be trained to the end of its recipe."""
    from mpcore.registry import workloads

    named = _names(config, "mp_accuracy")
    return ALL in named or workload in named if named else not workloads[workload].long_training


def chosen(config: pytest.Config, *, on_request: bool) -> tuple[list[str], list[str]]:
    """Workloads and modes: those that are named, or all that are not synthetic, and all modes that are not `on_request`
    unless these are wanted too."""
    from mpcore.registry import precisions, workloads

    session_of(config)
    modes = _names(config, "mp_precision")
    default = [name for name in precisions.names() if on_request or not precisions[name].on_request]
    return (
        _names(config, "mp_workload") or [name for name in workloads.names() if not workloads[name].synthetic],
        precisions.names() if ALL in modes else modes or default,
    )


def cases(config: pytest.Config, session: Session, own: Sequence[str]) -> "Iterator[tuple[Case, str | None]]":
    """Every selected case, with the reason if the device cannot run it. A test's `own` workloads are those that it may
    have; any other measures those that are named, or all that are not synthetic."""
    from mpcore.records import Case
    from mpcore.registry import executions, precisions

    device = session.bench.device
    named = _names(config, "mp_workload")
    workloads, modes = chosen(config, on_request=False)
    names = (
        [name for name in own if not named or name in named] if own else workloads,
        _batch_sizes(config),
        _names(config, "mp_execution") or ["graph" if device.type == "cuda" else "eager"],
        modes,
    )
    for workload, batch_size, execution, precision in itertools.product(*names):
        case = Case(workload=workload, precision=precision, execution=execution, size=session.size, batch_size=batch_size)
        yield case, executions[execution].unsupported(device) or precisions[precision].unsupported(device)
