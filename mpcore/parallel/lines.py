"""The ends of the ranks' lines that are with whoever has started them. Without torch."""

import contextlib
import queue
import selectors
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from mpcore.records import Joined

RECEIVED_BYTES = 2**16


@dataclass(frozen=True)
class Event:
    """A rank has said a line, or its line has ended (None). rank: None where torchrun has ended."""

    rank: int | None
    line: str | None


class Line:
    """The end of a rank's line that is here. rank: known once it has joined."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.rank: int | None = None
        self._rest = b""

    def read(self) -> tuple[list[str], bool]:
        """The lines that are there, and whether there will be no more. To be called where something is to be read."""
        try:
            found = self.connection.recv(RECEIVED_BYTES)
        except ConnectionResetError:
            found = b""
        *lines, self._rest = (self._rest + found).split(b"\n")
        return [line.decode() for line in lines], not found


class Lines:
    """Those of all ranks, which a thread reads.

    events: what came of them, in its order. processes: by rank, the id of each that has joined. ended: whether none is left.
    """

    def __init__(self, path: Path) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.processes: dict[int, int] = {}
        self.ended = threading.Event()
        self.ended.set()
        self._unsent: list[bytes] = []
        self._to_first: socket.socket | None = None
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._stop, stopped = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """To rank 0, once it is there."""
        with self._lock:
            self._unsent.append(line.encode() + b"\n")
            self._flush()

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _flush(self) -> None:
        if self._to_first is not None:
            with contextlib.suppress(OSError):  # why it has ended is said by whoever waits for its response
                self._to_first.sendall(b"".join(self._unsent))
            self._unsent.clear()

    def _read(self) -> None:
        while True:
            ready = [key for key, _ in self._selector.select()]
            lines = [key.data for key in ready if key.data is not None]
            if any(key.fileobj is self._listener for key in ready):
                connection = self._listener.accept()[0]
                self._selector.register(connection, selectors.EVENT_READ, Line(connection))
                self.ended.clear()
            elif not lines:
                return  # it was told to stop
            heard = [(line, *line.read()) for line in lines]
            for line, said, ended in sorted(heard, key=lambda each: bool(each[1])):  # who ended without a word ended first
                for text in said:
                    self._hear(line, text)
                if ended:
                    self._leave(line)

    def _hear(self, line: Line, text: str) -> None:
        if line.rank is not None:
            self.events.put(Event(line.rank, text))
            return
        joined = Joined.model_validate_json(text)
        line.rank = joined.rank
        self.processes[joined.rank] = joined.process
        if joined.rank == 0:
            with self._lock:
                self._to_first = line.connection
                self._flush()

    def _leave(self, line: Line) -> None:
        self._selector.unregister(line.connection)
        line.connection.close()
        self.events.put(Event(line.rank, None))
        if all(key.data is None for key in self._selector.get_map().values()):
            self.ended.set()
