"""Large files that git keeps elsewhere (Git LFS): in a tree there may be no more than pointers to them."""

from pathlib import Path

from mpcore.ab.git import RevisionError, git
from mpcore.ab.revisions import Checkout

POINTER = b"version https://git-lfs.github.com/spec/"


def check_large_files(sides: tuple[Checkout, Checkout]) -> None:
    """Raises RevisionError where one of base and head has only a pointer of what the other has whole."""
    of_base, of_head = ({path: _is_pointer(side.tree / path) for path in _large_files(side.tree)} for side in sides)
    for name, pointers, others in (("base", of_base, of_head), ("head", of_head, of_base)):
        for path in (path for path, pointer in pointers.items() if pointer and others.get(path) is False):
            raise RevisionError(
                f"{name} has only a Git LFS pointer in the place of {path}, which the other side has whole: "
                "expected --prepare 'git lfs pull'"
            )


def _large_files(tree: Path) -> list[str]:
    """That git is told to keep elsewhere, by their paths."""
    found = git("-C", str(tree), "ls-files", "-z", "--", ":(attr:filter=lfs)")
    return [path for path in found.stdout.split("\0") if path]


def _is_pointer(file: Path) -> bool | None:
    """None where it is not there."""
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        return opened.read(len(POINTER)) == POINTER
