"""What builds a side before it is measured."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from mpcore.ab.git import RevisionError
from mpcore.ab.revisions import Checkout

SHOWN_LINES = 20
"""Of the output of a command that failed."""


def prepare(command: str, sides: tuple[Checkout, Checkout]) -> None:
    """Runs a line of the shell in the tree of each side, once where both have the same. Raises RevisionError, with the end of
    its output, where it fails."""
    named = {side.tree: name for name, side in zip(("base", "head"), sides, strict=True)}
    for tree, name in named.items():
        code, output = _run(command, tree)
        if code != 0:
            kept = "\n".join(output.splitlines()[-SHOWN_LINES:])
            raise RevisionError(f"--prepare {command!r} ended with exit code {code} in {name} ({tree}):\n{kept}")


def _run(command: str, tree: Path) -> tuple[int, str]:
    """Its exit code and what it printed. It is ended with all that it has started where this is interrupted."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, shell=True, cwd=tree, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        output.seek(0)
        return code, output.read().decode(errors="replace")
