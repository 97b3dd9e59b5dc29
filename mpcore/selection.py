"""What is to be measured, named by options that pytest and the commands share."""

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mpcore.records import Selection
from mpcore.system import unusable

ALL = "all"
LABEL = re.compile(r"(?=.{1,40}$)[a-z0-9]+(-[a-z0-9]+)*")
COMPILE_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""torch's variable. Graphs, their code and Triton's kernels are below it."""

OPTIONS: dict[str, dict[str, Any]] = {
    "--mp-load": {
        "metavar": "FILE",
        "action": "append",
        "default": [],
        "help": "a Python file that registers workloads, modes, trainers or strategies of your own; may be repeated",
    },
    "--mp-workload": {
        "metavar": "NAMES",
        "help": "workloads, separated by commas, or all. Default: those of the files of --mp-load, where they register some, "
        "else all that are neither synthetic nor on request",
    },
    "--mp-precision": {
        "metavar": "NAMES",
        "help": "precision modes, separated by commas, or all (default: fp32, tf32, fp16-amp, bf16-amp, fp16-manual, "
        "bf16-manual, bf16-true and your own)",
    },
    "--mp-trainer": {
        "metavar": "NAMES",
        "help": "who makes the step: mpcore, plain, fabric, accelerate, huggingface or your own, separated by commas, or all "
        "(default: mpcore)",
    },
    "--mp-batch": {
        "metavar": "SIZES",
        "help": "sizes of a batch, separated by commas (default: the one of the workload's recipe)",
    },
    "--mp-execution": {
        "metavar": "NAMES",
        "help": "eager, graph, inductor, compile, reduce-overhead, separated by commas (default: graph on a GPU, and some "
        "modes as compile, too, where it has HBM; else eager)",
    },
    "--mp-gpus": {
        "metavar": "NUMBERS",
        "help": "GPUs that a step is spread over, such as 1,2,4; processes on a CPU (default: 1)",
    },
    "--mp-strategy": {
        "metavar": "NAMES",
        "help": "how a step is spread over several GPUs: ddp, ddp-overlap, ddp-16bit, ddp-syncbn, fsdp, fsdp-16bit or your "
        "own, separated by commas (default: ddp)",
    },
    "--mp-keep-fp32": {
        "metavar": "PATTERNS",
        "help": "modules that compute in FP32 in every mode: patterns of their names, such as encoder.layer.0.* or *.router, "
        "separated by commas. Each must fit in every workload",
    },
    "--mp-size": {
        "choices": ("tiny", "full", "fit"),
        "help": "size of the models; fit is full in batches that fit the GPU's memory (default: full on a GPU, tiny on a CPU)",
    },
    "--mp-device": {"metavar": "DEVICE", "help": "cpu, cuda or cuda:1 (default: cuda where there is one)"},
    "--mp-data": {
        "metavar": "SOURCE",
        "help": "embedded, hub, or a folder with <set>/train.parquet and <set>/test.parquet (default: $MPCORE_DATA or "
        "embedded)",
    },
}


class SelectionError(ValueError):
    """An option that names what is not there; the message names it and says what was expected."""


def add_options(add: Callable[..., object]) -> None:
    """Adds all that name what is to be measured. `add` is add_argument of argparse, or what works like it."""
    for name, keywords in OPTIONS.items():
        add(name, **keywords)


def add_margin_option(add: Callable[..., object]) -> None:
    """`--mp-margin`, which every gate has. `add` as above."""
    add(
        "--mp-margin",
        metavar="[CASES:]METRIC=VALUE",
        action="append",
        default=[],
        help="how much worse a figure may get: step-time, memory, compile-time, pair-time, pair-memory and pair-blind in per "
        "cent, points of accuracy, errors as a factor. updates: an error too small to say anything. CASES: a pattern of names "
        "(default: all). May be repeated, and counts before [tool.mpcore.margins] in pyproject.toml",
    )


def add_label_option(add: Callable[..., object]) -> None:
    """`--mp-label`, of a session and its forecast. `add` as above."""
    add(
        "--mp-label",
        metavar="NAME",
        help="what tells this machine from others with the same GPU, such as the cloud that it is of: runs of two labels are "
        "never compared",
    )


def label_of(options: argparse.Namespace) -> str | None:
    """None where it is not given. Raises SelectionError for one that cannot be a part of a folder's name."""
    label: str | None = options.mp_label
    if label is not None and not LABEL.fullmatch(label):
        raise SelectionError(
            f"--mp-label {label!r:.60}: expected up to 40 lower-case letters, digits and hyphens, such as gcp-a3"
        )
    return label


def add_minutes_option(add: Callable[..., object]) -> None:
    """`--mp-minutes`, which a session and its forecast have. `add` as above."""
    add(
        "--mp-minutes",
        metavar="N",
        type=float,
        help="the tests of most worth that accepted runs say take so many minutes together; the others are left out",
    )


def minutes_of(options: argparse.Namespace) -> float | None:
    """None where it is not given. Raises SelectionError for anything that is no time."""
    minutes: float | None = options.mp_minutes
    if minutes is not None and not 0 < minutes < float("inf"):
        raise SelectionError(f"--mp-minutes {minutes:g}: expected a number of minutes above 0")
    return minutes


def add_compile_cache_option(add: Callable[..., object]) -> None:
    """`--mp-compile-cache`, which everything has that measures. `add` as above."""
    add(
        "--mp-compile-cache",
        metavar="DIR",
        help="where torch.compile finds code that it has compiled before, and keeps what it compiles now (default: torch's "
        "own folder for temporary files)",
    )


def use_compile_cache(options: argparse.Namespace) -> None:
    """Tells torch of the folder that is given, in this process and in those that it starts. Raises SelectionError for one that
    is a file, cannot be made, or cannot be written to, and where nothing can be measured."""
    if reason := unusable():
        raise SelectionError(reason)
    given = options.mp_compile_cache
    if given is None:
        check_compile_cache()
        return
    folder, named = Path(given).absolute(), f"--mp-compile-cache {given!r}"
    if not given or (folder.exists() and not folder.is_dir()):
        raise SelectionError(f"{named}: expected a folder, which need not be there yet")
    _check_writable(folder, named)
    os.environ[COMPILE_CACHE] = str(folder)


def check_compile_cache() -> None:
    """Raises SelectionError where a variable names a folder for what torch compiles, and torch cannot write to it. It makes it
    as soon as torch.compile is loaded, whether or not anything is compiled."""
    if folder := os.environ.get(COMPILE_CACHE):
        _check_writable(Path(folder), f"{COMPILE_CACHE}={folder!r}")


def _check_writable(folder: Path, named: str) -> None:
    """Makes it where it is not there. Raises SelectionError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SelectionError(f"{named}: {error.strerror or error}: expected a folder that torch can write to") from error


def selection_of(options: argparse.Namespace, *, spreads: bool = False) -> Selection:
    """What the options select. spreads: whether without --mp-gpus all GPUs are taken. Raises SelectionError for an option
    without a name in it, or with a number that cannot be."""
    gpus = tuple(_numbers(options, "mp_gpus", "numbers of GPUs, such as 1,2"))
    if max(gpus, default=1) > 1 and ":" in (options.mp_device or ""):
        raise SelectionError(f"--mp-device {options.mp_device!r} is one GPU: expected cuda with --mp-gpus {options.mp_gpus}")
    return Selection(
        workloads=tuple(names(options, "mp_workload")),
        precisions=tuple(names(options, "mp_precision")),
        trainers=tuple(names(options, "mp_trainer")),
        executions=tuple(names(options, "mp_execution")),
        strategies=_strategies(options, max(gpus, default=2 if spreads else 1)),
        gpus=gpus,
        keep_fp32=tuple(names(options, "mp_keep_fp32")),
        size=options.mp_size,
        batch_sizes=tuple(_numbers(options, "mp_batch", "sizes of a batch, such as 64,256")),
        device=options.mp_device,
        data=options.mp_data,
        load=tuple(options.mp_load),
        loaded_alone=tuple(Path(path).stem for path in options.mp_load),
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


def _numbers(options: argparse.Namespace, option: str, expected: str) -> Iterator[int]:
    for text in names(options, option):
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise SelectionError(f"--{option.replace('_', '-')} {text!r}: expected {expected}")
        yield int(text)


def _strategies(options: argparse.Namespace, most: int) -> tuple[str, ...]:
    found = tuple(names(options, "mp_strategy"))
    if found and most == 1:
        raise SelectionError(f"--mp-strategy {options.mp_strategy!r} spreads nothing: expected --mp-gpus with 2 or more")
    return found
