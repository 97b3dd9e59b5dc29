"""`python -m mpcore`: finds the command, and turns errors into one sentence and an exit code."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mpcore.commands import COMMANDS
from mpcore.commands.ab import SKIP
from mpcore.commands.output import tell
from mpcore.project import ProjectError
from mpcore.store import RunError

UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code is the command's. It is 4 for a file or an option that cannot be used, or output that cannot be written.
    After Ctrl-C it is 130, and 141 where nobody reads on."""
    if sys.stdout is None:  # it is closed
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    options = _parsed(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _nowhere()
        return 128 + signal.SIGPIPE
    except (RunError, ProjectError) as error:
        tell(str(error))
        return 4
    except KeyboardInterrupt as stopped:
        tell(str(stopped) or "interrupted")
        return 128 + signal.SIGINT
    except OSError as error:
        if error.filename is not None or error.errno not in UNWRITABLE:
            raise
        _nowhere()
        tell(f"the output cannot be written: {error.strerror}")
        return 4
    return code


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """git bisect would take the usual exit code of an option that cannot be read for a commit that is bad."""
    try:
        return parser().parse_args(arguments)
    except SystemExit as ended:
        if ended.code == 2 and "--git-bisect" in (sys.argv if arguments is None else arguments):
            raise SystemExit(SKIP) from None
        raise


def _nowhere() -> None:
    """What is left to be written would fail again as the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    made = argparse.ArgumentParser(prog="python -m mpcore", description="Compares, judges and shows runs of the suite.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
