"""`python -m mpcore ab`: what its options mean, its exit code, and how it ends when it is interrupted.

Exit codes: 1 where anything is worse, whatever else happened; else 2 where something failed or nothing was compared; else 3
where anything is undecided; else 0. An error of usage is 2, and an interruption 128 and the number of its signal.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mpcore.ab.compare import compare
from mpcore.ab.show import markdown, terminal
from mpcore.ab.sides import SideError, root, sides
from mpcore.records import Comparison
from mpcore.report.colour import coloured, wanted
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError, selection_of


def run(options: argparse.Namespace) -> int:
    """Returns the exit code."""
    try:
        with _signals():
            return _run(options)
    except (SideError, SelectionError, RunnerError, OSError) as error:
        print(f"mpcore: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    selection = selection_of(options)
    for path in (options.json, options.markdown):
        if path is not None and not path.parent.is_dir():
            raise SideError(f"no folder {str(path.parent)!r} to write {path.name} to")
        if path is not None and path.is_dir():
            raise SideError(f"{str(path)!r} is a folder: expected a file to write to")
    with sides(options.base, options.head, options.base_python, options.head_python) as (base, head):
        trees = [head.tree, base.tree, root()]
        named = {"load": tuple(_own(path, trees) for path in selection.load), "data": _data(selection.data)}
        comparison = compare(base, head, selection.model_copy(update=named), progress=_progress)
    text = terminal(comparison)
    print(coloured(text) if wanted(sys.stdout) else text)
    if options.json is not None:
        options.json.write_text(comparison.model_dump_json(indent=1) + "\n")
    if options.markdown is not None:
        options.markdown.write_text(markdown(comparison))
    return exit_code(comparison)


def exit_code(comparison: Comparison) -> int:
    """See above."""
    if "worse" in comparison.statuses:
        return 1
    if comparison.failures or not comparison.statuses - {"new"}:
        return 2
    return 3 if "undecided" in comparison.statuses else 0


def _own(path: str, trees: list[Path]) -> str:
    """A file in the repository is that of each side; any other is the same for both."""
    file = Path(path).resolve()
    inside = next((tree for tree in trees if file.is_relative_to(tree)), None)
    return str(file if inside is None else file.relative_to(inside))


def _data(name: str | None) -> str | None:
    """A folder is found from each side's tree, too."""
    name = name or os.environ.get("MPCORE_DATA")
    return str(Path(name).resolve()) if name and Path(name).is_dir() else name


def _progress(line: str) -> None:
    print(f"mpcore: {line}", file=sys.stderr, flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """The two that end a process at once end it as Ctrl-C does, so that nothing is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    heeded = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]  # nohup ignores one
    before = {int(number): signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
