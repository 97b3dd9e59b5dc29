"""What the commands of mpcore print."""

import contextlib
import io
from pathlib import Path

from mpcore.__main__ import main


def printed(*arguments: str | Path, code: int = 0) -> str:
    """What a command of mpcore prints. Raises SystemExit where it ends with another exit code than `code`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        ended = main([str(each) for each in arguments])
    if ended != code:
        raise SystemExit(f"python -m mpcore {' '.join(map(str, arguments))}: exit code {ended}, expected {code}")
    return out.getvalue()


def text(lines: str) -> str:
    return f"```text\n{lines.rstrip()}\n```"
