"""The process in which cases are measured, as far as its pipes.

It imports everything, loads the data, says that it is ready, and waits: so one gets ready while another measures. Then it takes
requests from its standard input and answers each on its standard output, a line of JSON each; what workloads print goes to
standard error. It ends as soon as its input does, and so with whoever started it, however that ends.
"""

import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator

from mpcore.records import Failure, Ready, Request, Response, Selection
from mpcore.selection import SelectionError


def main() -> None:
    """Serves requests until the input ends. Exits with 1 where the selection is refused."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(response: Response) -> None:
        output.write(response.model_dump_json() + "\n")

    lines = _input()
    selection = Selection.model_validate_json(next(lines))
    from mpcore.runner.responses import Responder  # imports torch: not before the input is watched, and nothing can be printed

    try:
        responder = Responder(selection)
    except SelectionError as error:
        say(Failure(case=None, sentence=str(error)))
        sys.exit(1)
    say(Ready())
    for line in lines:
        say(responder.response(Request.model_validate_json(line)))


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
