"""The two that are compared, as trees: a revision in a worktree of its own, a folder, or the working tree as it is."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

WORKING_TREE = "the working tree"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SideError(ValueError):
    """A base or head that cannot be had; the message names it."""


@dataclass(frozen=True)
class Side:
    """A tree, run by a Python. commit: None for a folder, or a working tree with changes. handicap: how many times longer each
    step is made to take."""

    name: str
    tree: Path
    python: str = sys.executable
    commit: str | None = None
    handicap: float = 1.0


@contextmanager
def sides(base: str | None, head: str | None, base_python: str | None, head_python: str | None) -> Iterator[tuple[Side, Side]]:
    """Base and head, each a revision or a folder. Without head it is the working tree; without base it is head's own tree, in
    another Python. What was made for them is gone afterwards. Raises SideError."""
    if base is None and base_python is None and head_python is None:
        raise SideError("nothing to compare with: expected BASE, or a Python of its own for base or head")
    pythons = [_python(given) for given in (base_python, head_python)]
    with ExitStack() as stack:
        second = stack.enter_context(_side(head))
        first = second if base in (None, head) else stack.enter_context(_side(base))
        yield replace(first, python=pythons[0]), replace(second, python=pythons[1])


def root() -> Path:
    """Of the repository that this is, or this folder where there is none."""
    found = _git("rev-parse", "--show-toplevel")
    return Path(found.stdout.strip()) if found.returncode == 0 else Path.cwd()


def _python(given: str | None) -> str:
    """As an absolute path, but for its links: a virtual environment is known by where its Python lies."""
    found = shutil.which(given) if given is not None else sys.executable
    if found is None:
        raise SideError(f"no Python {given!r}: expected the path of one, such as .venv/bin/python")
    return os.path.abspath(found)  # noqa: PTH100


@contextmanager
def _side(text: str | None) -> Iterator[Side]:
    if text is None:
        clean = _git("status", "--porcelain")
        commit = _git("rev-parse", "HEAD").stdout.strip() if clean.returncode == 0 and not clean.stdout else None
        yield Side(WORKING_TREE, root(), commit=commit or None)
        return
    if not text.strip():  # as of a variable that is not set; it would be this folder
        raise SideError(f"{text!r} is neither a folder nor a revision")
    found = _git("rev-parse", "--verify", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode == 0:
        with _worktree(found.stdout.strip()) as tree:
            yield Side(text, tree, commit=found.stdout.strip())
    elif Path(text).is_dir():
        yield Side(text, Path(text).resolve())
    else:
        raise SideError(f"{text!r} is neither a folder nor a revision ({_last(found.stderr)})")


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    with ExitStack() as stack:
        with _signals_later():
            folder = Path(tempfile.mkdtemp(prefix="mpcore-ab-"))
            tree = folder / commit[:12]
            stack.callback(_remove, tree)
            added = _git("worktree", "add", "--detach", str(tree), commit)
        if added.returncode != 0:
            raise SideError(f"git makes no worktree of {commit[:12]} ({_last(added.stderr)})")
        yield tree


def _remove(tree: Path) -> None:
    with _signals_later():
        _git("worktree", "remove", "--force", str(tree))
        shutil.rmtree(tree.parent, ignore_errors=True)


@contextmanager
def _signals_later() -> Iterator[None]:
    """What must not be left half done is done first."""
    came: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {int(number): signal.signal(number, remember) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came[:1]:
        signal.raise_signal(number)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own, where the terminal's Ctrl-C does not reach it."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, start_new_session=True)
    except OSError as error:
        return subprocess.CompletedProcess(["git"], 127, "", f"git: {error.strerror}")


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["git says nothing"])[-1]
