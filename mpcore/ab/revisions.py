"""The two that are compared, as trees on disk: a revision in a worktree of its own, a folder, or the working tree as it is."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mpcore.ab.git import RevisionError, git, reason_of, why_not
from mpcore.ab.submodules import add_submodules, forget_submodules
from mpcore.records import WORKING_TREE, Loaded, Machine, Revision
from mpcore.runner.scratch import Scratch, abandoned
from mpcore.signals import put_off

PLACE = re.compile(r"(?<![${])\{(?!tree\})\w+\}(?!\})")
"""A placeholder that is not known. A shell's ${NAME} and Go's {{NAME}} are left alone."""
FOLDERS = "mpcore-ab-"
"""How folders begin that hold a worktree."""


@dataclass(frozen=True)
class Checkout:
    """A tree on disk, run by a Python. commit: None for a folder, or a working tree with changes. command: what comes before
    that Python, as a container's does, with {tree} for the tree. slowdown: how many times longer each step is made to take."""

    name: str
    tree: Path
    python: str = sys.executable
    commit: str | None = None
    slowdown: float = 1.0
    command: tuple[str, ...] = ()

    @property
    def prefix(self) -> list[str]:
        """The command of this tree."""
        return [word.replace("{tree}", str(self.tree)) for word in self.command]

    def revision(self, machine: Machine, loaded: Loaded | None = None) -> Revision:
        """What is recorded of it. machine, loaded: as its process found them."""
        return Revision(
            name=self.name,
            commit=self.commit,
            python=self.python,
            slowdown=self.slowdown,
            command=self.command,
            machine=machine,
            loaded=loaded,
        )


@contextmanager
def checkouts(
    base: str | None,
    head: str | None,
    base_python: str | None,
    head_python: str | None,
    commands: tuple[str | None, str | None] = (None, None),
) -> Iterator[tuple[Checkout, Checkout]]:
    """Base and head, each a revision or a folder. Without head it is the working tree; without base it is head's own tree, in
    another Python or under another command. What was made for them is gone afterwards. commands: for the shell, that come
    before the Python of each. Raises RevisionError."""
    if base is None and not any((base_python, head_python, *commands)):
        raise RevisionError("nothing to compare with: expected BASE, or a Python or command of its own for base or head")
    before = [tuple(shlex.split(command or "")) for command in commands]
    for word in (word for command in before for word in command):
        if unknown := PLACE.search(word):
            raise RevisionError(f"a command has {unknown[0]} in {word!r}: expected {{tree}}, which is a side's tree")
    pythons = [_python(given, command) for given, command in zip((base_python, head_python), before, strict=True)]
    with ExitStack() as stack:
        second = stack.enter_context(_checkout(head))
        first = second if base in (None, head) else stack.enter_context(_checkout(base))
        yield replace(first, python=pythons[0], command=before[0]), replace(second, python=pythons[1], command=before[1])


def repository() -> Path:
    """The top folder of the git repository that this is, or this folder where there is none."""
    found = git("rev-parse", "--show-toplevel")
    return Path(found.stdout.strip()) if found.returncode == 0 else Path.cwd()


def _python(given: str | None, command: tuple[str, ...]) -> str:
    """As an absolute path, but for its links: a virtual environment is known by where its Python lies. Under a command it may
    lie in a container, and is taken as it is given."""
    if command:
        return given or "python"
    found = shutil.which(given) if given is not None else sys.executable
    if found is None:
        raise RevisionError(f"no Python {given!r}: expected the path of one, such as .venv/bin/python")
    return os.path.abspath(found)  # noqa: PTH100


@contextmanager
def _checkout(text: str | None) -> Iterator[Checkout]:
    if text is None:
        clean = git("status", "--porcelain")
        commit = git("rev-parse", "HEAD").stdout.strip() if clean.returncode == 0 and not clean.stdout else None
        yield Checkout(WORKING_TREE, repository(), commit=commit or None)
        return
    if not text.strip():  # as of a variable that is not set; it would be this folder
        raise RevisionError(f"{text!r} is neither a folder nor a revision")
    found = git("rev-parse", "--verify", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode == 0:
        with _worktree(found.stdout.strip()) as tree:
            yield Checkout(text, tree, commit=found.stdout.strip())
    elif Path(text).is_dir():
        yield Checkout(text, Path(text).resolve())
    else:
        raise RevisionError(f"{text!r} is neither a folder nor a revision ({why_not(found.stderr)})")


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    _sweep()
    with ExitStack() as stack:
        with put_off():
            scratch = Scratch(FOLDERS)
            stack.callback(scratch.close)
            tree = scratch.path / commit[:12]
            stack.callback(_remove, tree)
            added = git("worktree", "add", "--detach", str(tree), commit)
        if added.returncode != 0:
            raise RevisionError(f"git makes no worktree of {commit[:12]} ({reason_of(added.stderr)})")
        add_submodules(repository(), tree)
        yield tree


def _sweep() -> None:
    """Removes worktrees of processes that were killed."""
    listed = git("worktree", "list", "--porcelain").stdout.splitlines()
    for tree in (Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")):
        if tree.parent.name.startswith(FOLDERS) and abandoned(tree.parent):
            _remove(tree)


def _remove(tree: Path) -> None:
    with put_off():
        git("worktree", "remove", "--force", str(tree))
        shutil.rmtree(tree.parent, ignore_errors=True)
        forget_submodules(repository())
