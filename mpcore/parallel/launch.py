"""Who starts the ranks, gives them orders, and ends them. Without torch.

torchrun starts them, in a session of its own. Each rank has a line to here: orders go to rank 0, which passes them on, and
responses come from it; what fails in a rank comes from the rank itself. So the first that failed is known, also where the
others wait for it in a collective that nobody watches.
"""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from traceback import FrameSummary
from typing import Any

from mpcore.errors import source_line
from mpcore.parallel.line import SOCKET, WHERE
from mpcore.parallel.lines import Event, Lines
from mpcore.records import Alive, Fault, Record, Response, Selection
from mpcore.runner.process import LAST_BYTES, Hung, RunnerError, ending, response_of
from mpcore.runner.runner import CASE_SECONDS, Runner
from mpcore.runner.scratch import Scratch

FOLDERS = "mpcore-ranks-"
"""How folders begin that hold the ends of ranks' lines, and what ranks print."""
GRACE_SECONDS = 10.0
"""In which torchrun ends by itself, once a rank has, and all ranks are gone, once they are killed."""
WHERE_SECONDS = 0.5
"""In which a rank that hangs writes down where it is."""
RANK_ENDED = re.compile(r"^ +rank +: (\d+) .*\n +exitcode +: (-?\d+) ", re.MULTILINE)
"""In what torchrun says of its ranks."""
FIRST_ENDED = "Root Cause (first observed failure)"
FRAME = re.compile(r'^ +File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
"""As faulthandler writes it, the innermost first."""
THROWN = re.compile(rb"^ +what\(\): .*$", re.MULTILINE)
"""In what C++ says of an exception that ends a process, such as gloo's of ranks that call different collectives."""
LOST = re.compile(r"Connection (closed|reset) by (remote )?peer|(Read|Write) error|ncclRemoteError|remote (worker|process)")
"""In what a rank says of a collective in which another one has ended."""
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
DEFAULTS = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
"""Variables of the ranks. torchrun sets the first for several ranks only, and one rank is compared with them."""


class Launcher(Runner):
    """A `Runner` whose process is a launch of `ranks` ranks. One launch measures cases until one fails."""

    def __init__(self, tree: Path, selection: Selection, ranks: int, **options: Any) -> None:
        self._ranks = ranks
        self._device = selection.device or ""
        super().__init__(tree, selection, **options)

    def open(self, environment: dict[str, str]) -> "Launch":
        return Launch(self.python, self._ranks, self._device, self.tree, environment)


class Launch:
    """Ranks, their torchrun, and their lines. device: "cpu" or "cuda", "" for cuda where there is one."""

    def __init__(self, python: str, ranks: int, device: str, tree: Path, environment: dict[str, str]) -> None:
        self._scratch = Scratch(FOLDERS)
        self._folder = self._scratch.path
        self._first: tuple[int, str | None] | None = None
        self._waiting = 0
        self._broken: str | None = None
        self._lines = Lines(self._folder / "line")
        self._errors = (self._folder / "torchrun").open("wb+")
        command = [python, *_torchrun(ranks, self._folder), "-m", "mpcore.parallel.worker", device]
        environment = DEFAULTS | _with_growing_segments(environment) | environment | {SOCKET: str(self._folder / "line")}
        environment |= _showing_one_gpu(environment) if ranks == 1 else {}
        try:
            self._agent = subprocess.Popen(
                command,
                cwd=tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._lines.close()
            self._scratch.close()
            raise RunnerError(f"cannot start {python} in {tree}: {error.strerror}") from error
        threading.Thread(target=self._wait, daemon=True).start()

    def send(self, record: Record) -> None:
        self._waiting += 1
        self._lines.send(record.model_dump_json(exclude_defaults=True))

    def receive(self, seconds: float, purpose: str) -> Response:
        """The next response. Raises RunnerError where none comes within so many seconds, and where a rank ends before it or has
        ended. From where a training has begun, ranks may be silent as long as their steps take, and as long as a case may
        take besides."""
        if self._broken is not None:
            raise RunnerError(self._broken)
        besides = min(seconds, CASE_SECONDS)
        end = time.monotonic() + seconds
        while True:
            try:
                event = self._lines.events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise self._error(self._hung(f"took more than {seconds:.0f} s {purpose} and were ended"), Hung) from None
            except KeyboardInterrupt as stopped:  # of whoever has seen enough of a hang
                with contextlib.suppress(Exception):
                    stopped.args = (self._hung("were interrupted"),)
                raise
            if event.line is None:
                raise self._error(self._end(event.rank))
            kind = json.loads(event.line)["kind"]
            if kind == "alive":
                steps = Alive.model_validate_json(event.line).seconds
                seconds, purpose = besides + steps, "until the next sign of life in a training"
                end = time.monotonic() + seconds
            elif kind == "fault":
                assert event.rank is not None
                self._first = self._first or (event.rank, Fault.model_validate_json(event.line).sentence)
            elif event.rank == 0:
                self._waiting -= 1
                if kind != "ready":  # by then a rank that has the first order already may have failed in it
                    self._first = None
                return response_of(event.line)

    def close(self) -> None:
        """Ends the ranks with all that they have started: in order, where they wait for orders."""
        if self._broken is None and self._waiting == 0:
            self._lines.send("")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._agent.wait(GRACE_SECONDS)
        for process in [self._agent.pid, *self._lines.processes.values()]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
        self._agent.wait()
        self._lines.ended.wait(GRACE_SECONDS)
        self._lines.close()
        self._errors.close()
        self._scratch.close()

    def _error(self, sentence: str, kind: type[RunnerError] = RunnerError) -> RunnerError:
        self._broken = sentence
        return kind(sentence)

    def _wait(self) -> None:
        self._agent.wait()
        self._lines.events.put(Event(None, None))

    def _end(self, rank: int | None) -> str:
        """Which rank ended first, and how; torchrun says it of its ranks, but not of itself. One that has lost another may say
        so before that one's end is seen."""
        if self._first is not None and not (rank not in (None, self._first[0]) and LOST.search(self._first[1] or "")):
            return f"rank {self._first[0]}: {self._first[1]}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._agent.wait(GRACE_SECONDS)
        code, said = self._agent.poll(), (self._folder / "torchrun").read_bytes()[-LAST_BYTES:]
        if code is not None and code < 0:
            return ending("its torchrun", code, b"")
        text = said.decode(errors="replace")
        codes = {int(r): int(c) for r, c in RANK_ENDED.findall(text)}
        roots = RANK_ENDED.findall(text.partition(FIRST_ENDED)[2])
        if rank is None or rank not in codes:
            rank = int(roots[0][0]) if roots else None
        if rank is None:
            return ending("its torchrun", code or 0, said)
        errors = self._errors_of(rank)[-LAST_BYTES:]
        said = b"\n".join(THROWN.findall(errors)) if codes[rank] < 0 else errors
        how = ending(f"the process of rank {rank}", codes[rank], said)
        return how + (f": it {place}" if codes[rank] < 0 and (place := _place(errors)) else "")

    def _hung(self, how: str) -> str:
        """With what has failed, or else where each rank is."""
        if self._first is not None:
            return f"rank {self._first[0]}: {self._first[1]}"
        processes = dict(self._lines.processes)  # more may join
        before = {rank: len(self._errors_of(rank)) for rank in processes}
        for process in processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, WHERE)
        time.sleep(WHERE_SECONDS)
        places = [
            f"rank {rank} {_place(self._errors_of(rank)[start:]) or 'did not say where it was'}"
            for rank, start in sorted(before.items())
        ]
        return "; ".join([f"its ranks {how}", *places])

    def _errors_of(self, rank: int) -> bytes:
        return b"".join(path.read_bytes() for path in self._folder.glob(f"ranks/**/{rank}/stderr.log"))


def _torchrun(ranks: int, folder: Path) -> list[str]:
    """One node, a free port, and no second try. What ranks print goes to files."""
    files = [f"--log-dir={folder / 'ranks'}", "--redirects=3"]
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--max-restarts=0", *files]


def _with_growing_segments(environment: dict[str, str]) -> dict[str, str]:
    """Variables of ranks whose allocator's segments grow: NCCL must not register what a graph reads then (pytorch#158029)."""
    asked = "".join(environment.get(name, "") for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"))
    return {"NCCL_GRAPH_REGISTER": "0"} if "expandable_segments:True" in asked else {}


def _showing_one_gpu(environment: dict[str, str]) -> dict[str, str]:
    """The first of those that there are. A library that sees more would spread over them what is to be a step on one."""
    return {VISIBLE_GPUS: environment.get(VISIBLE_GPUS, "0").partition(",")[0]}


def _place(errors: bytes) -> str:
    """The line that a rank was at when faulthandler wrote there, of its author's own code where there is some; "" where it did
    not."""
    frames = [FrameSummary(file, int(line), name) for file, line, name in FRAME.findall(errors.decode(errors="replace"))]
    return f"was in {frames[0].name}{source_line(frames[::-1])}" if frames else ""
