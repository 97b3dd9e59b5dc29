"""The line of a rank to whoever has started it: a Unix socket, on which a record is a line of JSON.

Each rank has one. It says who the rank is, and what has failed in it, at once, though others may wait for it; that of rank 0
takes the orders and carries the responses. Its end means the end of the other side: whatever ends the parent, the rank ends
with it, and with the rank all that it has started.
"""

import ctypes
import faulthandler
import os
import queue
import signal
import socket
import sys
import threading

from mpcore.records import Fault, Joined, Record

SOCKET = "MPCORE_PARALLEL_SOCKET"
"""The variable that names it."""
WHERE = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""On which a rank writes to its standard error where it is. Windows lacks the first, and nothing is measured there."""
PR_SET_PDEATHSIG = 1


class Line:
    """Of `rank`. Raises OSError where nobody listens any more."""

    def __init__(self, rank: int) -> None:
        _end_with_the_agent()
        faulthandler.enable(all_threads=False)
        faulthandler.register(WHERE, file=sys.stderr, all_threads=False)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(os.environ[SOCKET])
        self.say(Joined(rank=rank, process=os.getpid()))
        self._orders: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def say(self, record: Record) -> None:
        self._socket.sendall(record.model_dump_json().encode() + b"\n")

    def fault(self, sentence: str) -> None:
        """What has failed here, before anybody waits for it."""
        self.say(Fault(sentence=sentence))

    def order(self) -> str:
        """The next line, which is waited for; "" after the last."""
        return self._orders.get()

    def taken(self, order: str) -> None:
        """The deadlines are those of the other end."""

    def _read(self) -> None:
        with self._socket.makefile() as lines:
            for line in lines:
                self._orders.put(line.strip())
        end_of_all()


def end_of_all() -> None:
    """Ends this process and all that it has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_with_the_agent() -> None:
    """From now on the kernel ends this process with torchrun's agent, which ends its ranks only where it can. An agent that is
    gone already has taken the other end of the line with it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
