"""The process in which cases are measured.

It imports everything, loads the data, says that it is ready, and waits: so one gets ready while another measures. Then it takes
orders from its standard input and answers each on its standard output, a line of JSON each; what workloads print goes to
standard error. It ends as soon as its input does, and so with whoever started it, however that ends.
"""

import contextlib
import gc
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mpcore.records import Case, Failure, Listing, Machine, Order, Ready, Record, Selection
from mpcore.runner import Measured
from mpcore.selection import SelectionError, cases, device_of, known, source_of

if TYPE_CHECKING:
    from mpcore.measure import Bench


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines = _input()
    selection = Selection.model_validate_json(next(lines))
    try:
        bench, listed, unknown = _prepared(selection)
    except SelectionError as error:
        _say(answers, Failure(case=None, sentence=str(error)))
        sys.exit(1)
    _say(answers, Ready())
    for line in lines:
        order = Order.model_validate_json(line)
        _say(answers, _listing(bench, listed, unknown) if order.case is None else _measured(bench, order.case, order))


def _input() -> Iterator[bytes]:
    """The lines of standard input. A thread of its own reads them, so that its end ends everything at any time; by no buffer,
    for Python waits for the lock of one when it ends."""
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in io.FileIO(sys.stdin.fileno(), closefd=False):
            lines.put(line)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


def _say(answers: TextIO, record: Record) -> None:
    answers.write(record.model_dump_json() + "\n")


def _prepared(selection: Selection) -> "tuple[Bench, list[tuple[Case, str | None]], dict[str, str]]":
    """Loads the data, of which the collector is then told that they stay. Raises SelectionError."""
    import torch

    from mpcore.data import DataError
    from mpcore.measure import Bench
    from mpcore.workloads import WorkloadError

    there, unknown = known(selection)
    device = device_of(selection)
    bench = Bench(device, source_of(selection))
    listed = [] if there is None else list(cases(there, device))
    for case, _ in listed:
        with contextlib.suppress(DataError, WorkloadError):  # which is said of the case, when it is measured
            bench.workload(case).split("train", torch.device("cpu"))
    gc.collect()
    gc.freeze()
    return bench, listed, unknown


def _listing(bench: "Bench", listed: Sequence[tuple[Case, str | None]], unknown: Mapping[str, str]) -> Listing:
    from mpcore.hardware import probe, software

    machine = Machine(hardware=probe(bench.device), software=software())
    return Listing(machine=machine, cases=tuple(listed), unknown=tuple(unknown.items()), own=_imports_of(Path.cwd().resolve()))


def _imports_of(tree: Path) -> bool:
    """Whether a module is from there, and not from an environment that lies in it."""
    files = (Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None)))
    return any(file.is_relative_to(tree) and "site-packages" not in file.parts for file in files)


def _measured(bench: "Bench", case: Case, order: Order) -> Measured:
    from mpcore.data import DataError
    from mpcore.measure import Failed, explained
    from mpcore.precision import Inapplicable

    try:
        return bench.alone(case) if order.kind == "speed" else bench.time(case, profile=order.profile, handicap=order.handicap)
    except Inapplicable as error:
        return Failure(case=case, sentence=str(error), skipped=True)
    except DataError as error:
        return Failure(case=case, sentence=str(error))
    except Failed as error:
        return Failure(case=case, sentence=explained(error))


if __name__ == "__main__":
    main()
