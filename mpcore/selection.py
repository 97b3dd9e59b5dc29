"""What is to be measured, named by options that pytest and `python -m mpcore ab` share. Imports torch only once cases are
asked for."""

import argparse
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mpcore.records import Case, Selection, Size

if TYPE_CHECKING:
    import torch

    from mpcore.data import Source

ALL = "all"

OPTIONS: dict[str, dict[str, Any]] = {
    "--mp-load": {
        "metavar": "FILE",
        "action": "append",
        "default": [],
        "help": "a Python file that registers workloads or modes of your own; may be repeated",
    },
    "--mp-workload": {"metavar": "NAMES", "help": "workloads, separated by commas (default: all)"},
    "--mp-precision": {
        "metavar": "NAMES",
        "help": "precision modes, separated by commas, or all (default: fp32, tf32, fp16-amp, bf16-amp, fp16-manual, "
        "bf16-manual, bf16-true and your own)",
    },
    "--mp-batch": {
        "metavar": "SIZES",
        "help": "sizes of a batch, separated by commas (default: that of the workload's recipe)",
    },
    "--mp-execution": {
        "metavar": "NAMES",
        "help": "eager, graph, compile, separated by commas (default: graph on a GPU, eager on a CPU)",
    },
    "--mp-size": {"choices": ("tiny", "full"), "help": "size of the models (default: full on a GPU, tiny on a CPU)"},
    "--mp-device": {"metavar": "DEVICE", "help": "cpu, cuda or cuda:1 (default: cuda where there is one)"},
    "--mp-data": {
        "metavar": "SOURCE",
        "help": "embedded, hub, or a folder with <set>/train.parquet and <set>/test.parquet (default: $MPCORE_DATA or "
        "embedded)",
    },
}


class SelectionError(ValueError):
    """An option that names what is not there; the message names it and says what was expected."""


class NoFile(SelectionError):
    """A file to load that is not there."""


def add_options(add: Callable[..., object]) -> None:
    """`add` is add_argument of argparse, or what works like it."""
    for name, keywords in OPTIONS.items():
        add(name, **keywords)


def selection_of(options: argparse.Namespace) -> Selection:
    """Raises SelectionError for an option without a name in it, or for a size of batch that is none."""
    return Selection(
        workloads=tuple(names(options, "mp_workload")),
        precisions=tuple(names(options, "mp_precision")),
        executions=tuple(names(options, "mp_execution")),
        size=options.mp_size,
        batch_sizes=tuple(_batch_sizes(names(options, "mp_batch"))),
        device=options.mp_device,
        data=options.mp_data,
        load=tuple(options.mp_load),
    )


def names(options: argparse.Namespace, option: str) -> list[str]:
    """The names given, none where the option is not. Raises SelectionError for an option without a name in it."""
    text = getattr(options, option)
    if text is None:
        return []
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise SelectionError(f"--{option.replace('_', '-')} {text!r}: expected names separated by commas")
    return found


def _batch_sizes(texts: Sequence[str]) -> Iterator[int]:
    for text in texts:
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise SelectionError(f"--mp-batch {text!r}: expected sizes of a batch, such as 64,256")
        yield int(text)


def check(selection: Selection) -> None:
    """Loads the files of the selection; then all its names must be registered. Raises SelectionError."""
    _, unknown = known(selection)
    if unknown:
        raise SelectionError(next(iter(unknown.values())))


def known(selection: Selection) -> tuple[Selection | None, dict[str, str]]:
    """What is there of the selection once its files are loaded, None where nothing is; and a sentence for each file or name
    that is not, by what the selection calls it. Raises SelectionError for a file that cannot be imported."""
    from mpcore import execution as _executions  # noqa: F401  (registers them)
    from mpcore import precision as _modes  # noqa: F401
    from mpcore import workloads as _workloads  # noqa: F401
    from mpcore.registry import UnknownName, executions, precisions, workloads

    unknown = {}
    for path in selection.load:
        try:
            load(Path(path).resolve())
        except NoFile as error:
            unknown[f"load {path}"] = str(error)
    kept: dict[str, tuple[str, ...]] = {}
    for axis, registry in (("workloads", workloads), ("precisions", precisions), ("executions", executions)):
        kept[axis] = ()
        for name in getattr(selection, axis):
            try:
                registry.check([name] if name != ALL or axis != "precisions" else [])
                kept[axis] += (name,)
            except UnknownName as error:
                unknown[f"{axis} {name}"] = str(error)
    emptied = any(getattr(selection, axis) and not names for axis, names in kept.items())
    return None if emptied else selection.model_copy(update=kept), unknown


def load(path: Path) -> None:
    """Raises SelectionError for a file that cannot be imported, or that registers nothing."""
    from mpcore import precision as _modes  # noqa: F401  (a name that is taken is taken by one of these)
    from mpcore import workloads as _workloads  # noqa: F401
    from mpcore.cause import cause
    from mpcore.registry import precisions, workloads

    name = f"mp_load_{path.stem}"
    if str(path) == getattr(sys.modules.get(name), "__file__", None):
        return
    if not path.is_file() or path.suffix != ".py":
        what = "expected" if path.exists() else "there is no such file; expected"
        raise NoFile(f"--mp-load {str(path)!r}: {what} a Python file that registers a workload or a mode")
    if name in sys.modules:
        raise SelectionError(f"--mp-load {str(path)!r}: {sys.modules[name].__file__} has the same name; rename one of them")
    before = len(workloads.names()) + len(precisions.names())
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: a dataclass in it looks itself up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SelectionError(f"--mp-load {path.name}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise SelectionError(f"--mp-load {path.name}: {cause(error)}") from error
    if len(workloads.names()) + len(precisions.names()) == before:
        raise SelectionError(f"--mp-load {path.name} registers nothing: expected @workloads.register or @precisions.register")


def possible() -> Iterator[str]:
    """The names of all cases that can be selected, in batches of the workload's own size."""
    from mpcore.registry import executions, precisions, workloads

    for workload, precision, execution in itertools.product(workloads.names(), precisions.names(), executions.names()):
        for size in get_args(Size):
            yield Case(workload=workload, precision=precision, execution=execution, size=size).id


def source_of(selection: Selection) -> "Source":
    """Where data come from. Raises SelectionError."""
    from mpcore.data import DataError, Source

    try:
        return Source(selection.data or os.environ.get("MPCORE_DATA") or "embedded")
    except DataError as error:
        raise SelectionError(str(error)) from error


def device_of(selection: Selection) -> "torch.device":
    """Raises SelectionError for a device that this machine does not have."""
    import torch

    from mpcore.hardware import default_device

    name = selection.device
    if not name:
        return default_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>") from error
    if device.type not in ("cpu", "cuda"):
        raise SelectionError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SelectionError(f"--mp-device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def size_of(selection: Selection, device: "torch.device") -> Size:
    return selection.size or ("full" if device.type == "cuda" else "tiny")


def workloads_of(selection: Selection) -> list[str]:
    """Those that are named, or all that are not synthetic."""
    from mpcore.registry import workloads

    return list(selection.workloads) or [name for name in workloads.names() if not workloads[name].synthetic]


def precisions_of(selection: Selection, *, on_request: bool = False) -> list[str]:
    """Those that are named, or all that are not `on_request` unless these are wanted too."""
    from mpcore.registry import precisions

    if ALL in selection.precisions:
        return precisions.names()
    default = (name for name in precisions.names() if on_request or not precisions[name].on_request)
    return list(selection.precisions or default)


def cases(
    selection: Selection, device: "torch.device", workloads: Sequence[str] | None = None
) -> Iterator[tuple[Case, str | None]]:
    """Every selected case, with the reason if `device` cannot run it; of `workloads`, where they are given."""
    from mpcore.registry import executions, precisions

    axes = itertools.product(
        workloads_of(selection) if workloads is None else workloads,
        selection.batch_sizes or (None,),
        selection.executions or ("graph" if device.type == "cuda" else "eager",),
        precisions_of(selection),
    )
    size = size_of(selection, device)
    for workload, batch_size, execution, precision in axes:
        case = Case(workload=workload, precision=precision, execution=execution, size=size, batch_size=batch_size)
        yield case, executions[execution].unsupported(device) or precisions[precision].unsupported(device)
