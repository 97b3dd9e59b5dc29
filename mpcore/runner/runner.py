"""Who starts a process, has cases measured in it, and ends it. Without torch."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mpcore.records import (
    Case,
    Failure,
    Listing,
    Loaded,
    Numerics,
    Parallel,
    Quality,
    Ready,
    Request,
    Response,
    Selection,
    Speed,
    Timing,
    Work,
)
from mpcore.records.protocol import RequestKind
from mpcore.runner.process import Child, Hung, Process, RunnerError

READY_SECONDS = 600.0
"""For imports and data, on a machine that is busy with other things."""
CASE_SECONDS = 900.0
"""For a case: compilation is the slowest."""
BEGINNINGS = 2
"""Processes in a row that may end before they are ready: what has ended one, such as a kill, need not end the next."""
TRAINING_SECONDS = 4 * 3600.0
"""For all trainings of a case, and those that they are compared with."""

Measured = Timing | Speed | Work | Numerics | Quality | Parallel | Failure


@dataclass(frozen=True)
class Timeouts:
    """Seconds after which a process counts as hung."""

    ready: float = READY_SECONDS
    case: float = CASE_SECONDS


class Runner:
    """A fresh process for one tree, started at once, and killed with all that it has started once it is closed.

    python: what runs it, the one of this process unless given. prefix: a command that runs that, as in a container. path: where
    it finds modules first, the tree and its `src` unless given. environment: variables of its own, where this process has none
    of that name.
    """

    def __init__(
        self,
        tree: Path,
        selection: Selection,
        python: str | None = None,
        *,
        prefix: Sequence[str] = (),
        path: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        self.tree = tree
        self._selection = selection
        self.python = python or sys.executable
        self._prefix = list(prefix)
        self._path = [str(p) for p in (tree, tree / "src") if p.is_dir()] if path is None else list(path)
        self._environment = dict(environment or {}) | os.environ
        self._timeouts = timeouts
        self._ready, self._in_vain = False, 0
        self._refused: str | None = None
        self._kinds: tuple[str, ...] = ()
        self._process: Child | None = self._start()

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listing(self) -> Listing:
        """The cases of the selection. Raises RunnerError where the process does not live to list them, or the selection names
        what is not there."""
        requests = [Request()]
        self._send(requests)
        response = self._response(requests)
        assert isinstance(response, Listing)
        self._kinds = response.kinds
        return response

    def loaded(self) -> Loaded | None:
        """The code that the process has loaded by now, shared objects and compiled kernels of the cases that it has measured
        included; None of an older one, which does not say, and of one that has ended."""
        if self._process is None or not self._ready:
            return None
        if not self._kinds:
            self.listing()
        if "loaded" not in self._kinds:
            return None
        requests = [Request(kind="loaded")]
        self._send(requests)
        response = self._response(requests)
        assert isinstance(response, Loaded)
        return response

    def prepare(self, cases: Sequence[Case]) -> None:
        """It began to get ready, for any of its cases, when it was started."""

    def measure(
        self,
        cases: Sequence[Case],
        *,
        kind: RequestKind = "timing",
        profile: bool = False,
        slowdown: float = 1.0,
        rounds: int = 1,
        seconds: float | None = None,
    ) -> dict[Case, Measured]:
        """What was measured of each case, one after the other, or why it was not. slowdown, rounds: see `Request`. seconds:
        after which a case counts as hung, where that is known better.

        A process that does not live through a case is the failure of that case, and those after it are measured in a new one.
        A process that does not begin is the failure of all. What is asked after that begins one more, and no third one.
        """
        if seconds is not None:
            self.be_patient(seconds)
        return dict(self.measuring(cases, kind=kind, profile=profile, slowdown=slowdown, rounds=rounds))

    def measuring(
        self,
        cases: Sequence[Case],
        *,
        kind: RequestKind = "timing",
        profile: bool = False,
        slowdown: float = 1.0,
        rounds: int = 1,
    ) -> Iterator[tuple[Case, Measured]]:
        """The same, case by case, to be taken to the end. The process begins before the first is taken, so that two can
        measure at once."""
        asked = Request(kind=kind, profile=profile, slowdown=slowdown, rounds=rounds)
        requests = [asked.model_copy(update={"case": case}) for case in cases]
        self._send(requests)
        return self._measured(requests)

    def be_patient(self, seconds: float) -> None:
        """A case counts as hung after so long, from now on."""
        self._timeouts = replace(self._timeouts, case=seconds)

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process, self._ready = None, False

    def open(self, environment: dict[str, str]) -> Child:
        """A new process, with the modules of the tree. environment: its variables."""
        return Process([*self._prefix, self.python, "-m", "mpcore.runner"], self.tree, environment)

    def _start(self) -> Child:
        inherited = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        path = os.pathsep.join([*self._path, *(str(Path(p).resolve()) for p in inherited)])
        process = self.open(self._environment | {"PYTHONPATH": path})
        process.send(self._selection)
        return process

    def _send(self, requests: Sequence[Request]) -> None:
        if self._process is not None:
            for request in requests:
                self._process.send(request)

    def _measured(self, requests: Sequence[Request]) -> Iterator[tuple[Case, Measured]]:
        """Of requests that were sent, where there was a process to send them to."""
        cases = [request.case for request in requests if request.case is not None]
        for number, case in enumerate(cases):
            try:
                response = self._response(requests[number:])
            except RunnerError as error:
                if not self._ready:
                    self._in_vain += 1
                    if self._in_vain < BEGINNINGS:
                        self.close()
                    yield from ((c, Failure(case=c, sentence=str(error))) for c in cases[number:])
                    return
                self.close()
                response = Failure(case=case, sentence=str(error), hung=isinstance(error, Hung))
            assert not isinstance(response, Ready | Listing | Loaded)
            yield case, response

    def _response(self, requests: Sequence[Request]) -> Response:
        """To the first of them. A process that has to be started for it is sent them all. Raises RunnerError."""
        if self._refused is not None:
            raise RunnerError(self._refused)
        if self._process is None:
            self._process = self._start()
            self._send(requests)
        if not self._ready:
            first = self._process.receive(self._timeouts.ready, "to get ready")
            if isinstance(first, Failure):
                self._refused = first.sentence  # the next would say the same
                raise RunnerError(first.sentence)
            self._ready, self._in_vain = True, 0
        return self._process.receive(self._timeouts.case, "for one response")


def confirm(case: Case, selection: Selection, start: Callable[..., Runner] = Runner) -> Speed | str:
    """`case` measured in a fresh process that finds the same modules as this one, or the sentence that says why it was not.
    Device, data and files are those of `selection`. The memory of the GPU should be free. start: what makes the runner."""
    try:
        with start(Path.cwd(), narrowed(selection, [case]), path=[p or os.curdir for p in sys.path]) as runner:
            measured = runner.measure([case], kind="speed")[case]
    except RunnerError as error:
        return str(error)
    assert isinstance(measured, Speed | Failure)
    return measured.sentence if isinstance(measured, Failure) else measured


def narrowed(selection: Selection, cases: Sequence[Case]) -> Selection:
    """To these cases, all of one size: else the data of all that is selected would be loaded."""

    def each(field: str) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(getattr(case, field) for case in cases))

    names = {
        "workloads": each("workload"),
        "loaded_alone": (),  # which says nothing more, and an older process does not know
        "precisions": each("precision"),
        "trainers": each("trainer"),
        "keep_fp32": cases[0].keep_fp32,
        "executions": each("execution"),
        "strategies": tuple(dict.fromkeys(case.strategy for case in cases if case.spread)),
        "gpus": each("gpus"),
        "size": cases[0].size,
    }
    return selection.model_copy(update=names)
