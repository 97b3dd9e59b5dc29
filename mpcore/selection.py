"""What is to be measured, named by options that pytest and the commands share."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mpcore.records import Selection

ALL = "all"

OPTIONS: dict[str, dict[str, Any]] = {
    "--mp-load": {
        "metavar": "FILE",
        "action": "append",
        "default": [],
        "help": "a Python file that registers workloads, modes or trainers of your own; may be repeated",
    },
    "--mp-workload": {
        "metavar": "NAMES",
        "help": "workloads, separated by commas, or all (default: all that are not synthetic)",
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
        "help": "sizes of a batch, separated by commas (default: that of the workload's recipe)",
    },
    "--mp-execution": {
        "metavar": "NAMES",
        "help": "eager, graph, inductor, compile, reduce-overhead, separated by commas (default: graph on a GPU, eager on a "
        "CPU; eager by other trainers than mpcore)",
    },
    "--mp-keep-fp32": {
        "metavar": "PATTERNS",
        "help": "modules that compute in FP32 in every mode, by patterns of their names such as encoder.layer.0.* or *.router, "
        "separated by commas; each must fit in every workload",
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
        help="what may get worse: step-time, memory, pair-time and pair-memory in per cent, points of accuracy, "
        "errors as a factor, updates as an error too small to say anything; for cases whose name fits a pattern, or all; may "
        "be repeated; before [tool.mpcore.margins] in pyproject.toml",
    )


def selection_of(options: argparse.Namespace) -> Selection:
    """What the options select. Raises SelectionError for one without a name in it, or with a size of batch that cannot be."""
    return Selection(
        workloads=tuple(names(options, "mp_workload")),
        precisions=tuple(names(options, "mp_precision")),
        trainers=tuple(names(options, "mp_trainer")),
        executions=tuple(names(options, "mp_execution")),
        keep_fp32=tuple(names(options, "mp_keep_fp32")),
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
