"""A child process that takes and gives records, a line of JSON each."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from mpcore.records import Record, Response

RESPONSE: TypeAdapter[Response] = TypeAdapter(Response)
LAST_BYTES = 10_000
"""Of standard error, at whose end stands what happened."""
FATAL = re.compile(
    r"Fatal Python error|terminate called|\s*what\(\):|.*\b(CUDA|NCCL|cuDNN|cuBLAS|double free|corrupted)\b.*", re.IGNORECASE
)
"""What a process says that dies of a signal; what it says last may be a warning from its beginning."""
RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)(:|$)")
TRACEBACK = "Traceback (most recent call last):"
PLACE = re.compile(r'^ +File "(.+)", line (\d+)')


class RunnerError(RuntimeError):
    """A process that can measure nothing; the message says why."""


class Hung(RunnerError):
    """One that does not answer."""


class Child(Protocol):
    """What takes and gives records, and is measured in."""

    def send(self, record: Record) -> None: ...
    def receive(self, seconds: float, purpose: str) -> Response: ...
    def close(self) -> None: ...


class Process:
    """A child with its own process group, and a line of JSON for each record that goes in or out.

    The child may be of an older commit, which knows fewer fields: it is sent none that has its default, and of its responses
    what is not known here is left out.
    """

    def __init__(self, command: Sequence[str], tree: Path, environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        try:
            self._popen = subprocess.Popen(
                command,
                cwd=tree,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise RunnerError(f"cannot start {command[0]} in {tree}: {error.strerror}") from error
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def send(self, record: Record) -> None:
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # why it has ended is said by whoever waits for its response
            self._popen.stdin.write(record.model_dump_json(exclude_defaults=True) + "\n")
            self._popen.stdin.flush()

    def receive(self, seconds: float, purpose: str) -> Response:
        """The next response. Raises RunnerError where none comes within so many seconds, and where it cannot be read."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Hung(f"its process took more than {seconds:.0f} s {purpose} and was ended") from None
        if line is None:
            self._lines.put(None)  # for whoever asks again
            raise RunnerError(self._end())
        return response_of(line)

    def close(self) -> None:
        """Ends the child with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._reader.join(1)
        for stream in (self._popen.stdin, self._popen.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.put(line)

    def _wait(self) -> None:
        """Whoever waits for a line is told that there are no more. Something that the process has started may live on, and
        hold its standard output."""
        self._popen.wait()
        self._reader.join(1)
        self._lines.put(None)

    def _end(self) -> str:
        """How it came to its end."""
        code = self._popen.wait()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - LAST_BYTES))
        return ending("its process", code, self._errors.read())


def response_of(line: str) -> Response:
    """Raises RunnerError where it cannot be read."""
    try:
        return RESPONSE.validate_json(line, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunnerError(f"its process responds in another layout than this version reads: {place}: {first['msg']}") from error


def _raised(lines: list[str]) -> str | None:
    """The last exception in what a process has said. The class of one need not be called an error: it stands below its frames
    then."""
    named = next((line for line in reversed(lines) if RAISED.match(line)), None)
    below = lines[len(lines) - lines[::-1].index(TRACEBACK) :] if TRACEBACK in lines else []
    return named or next((line for line in below if line and not line[0].isspace()), None)


def ending(process: str, code: int, errors: bytes) -> str:
    """How `process` came to its end, as a sentence. errors: the end of its standard error."""
    lines = errors.decode(errors="replace").strip().splitlines()
    if code < 0:
        said = next((line.strip() for line in reversed(lines) if RAISED.match(line) or FATAL.match(line)), "")
        return f"{process} was ended by {signal.Signals(-code).name}" + (f": {said}" if said else "")
    raised = _raised(lines)
    places = [place for line in lines if (place := PLACE.search(line))]
    where = f" ({Path(places[-1][1]).name}, line {places[-1][2]})" if places else ""
    return f"{process} ended with exit code {code}" + (f": {raised}{where}" if raised else "")
