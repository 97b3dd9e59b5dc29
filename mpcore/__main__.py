"""`python -m mpcore`: finds the command, and turns errors into one sentence and an exit code."""

import argparse
import signal
import sys
from collections.abc import Sequence

from mpcore.commands import COMMANDS
from mpcore.commands.output import tell
from mpcore.project import ProjectError
from mpcore.store import RunError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: that of the command, 4 for a file or an option that cannot be used, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (RunError, ProjectError) as error:
        tell(str(error))
        return 4
    except KeyboardInterrupt:
        tell("interrupted")
        return 128 + signal.SIGINT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mpcore", description="Works with saved runs of the suite.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
