"""Who starts a process, has cases measured in it, and ends it. Without torch."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpcore.records import Answer, Case, Failure, Listing, Order, Ready, Selection, Speed, Timing
from mpcore.runner.process import Process, RunnerError

READY_SECONDS = 600.0
"""For imports and data, on a machine that is busy with other things."""
CASE_SECONDS = 900.0
"""For a case: compilation is the slowest."""

Measured = Timing | Speed | Failure


@dataclass(frozen=True)
class Limits:
    """Seconds after which a process counts as hung."""

    ready: float = READY_SECONDS
    case: float = CASE_SECONDS


class Runner:
    """A fresh process for one tree, started at once, and killed with all that it has started once it is closed.

    path: where it finds modules first, the tree itself and its `src` unless given.
    """

    def __init__(
        self,
        tree: Path,
        selection: Selection,
        python: str = sys.executable,
        *,
        path: Sequence[str] | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._tree = tree
        self._selection = selection
        self._python = python
        self._path = [str(p) for p in (tree, tree / "src") if p.is_dir()] if path is None else list(path)
        self._limits = limits
        self._ready = False
        self._process: Process | None = self._start()

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listing(self) -> Listing:
        """The cases of the selection. Raises RunnerError where the process does not live to list them, or the selection names
        what is not there."""
        answer = self._answer(Order())
        assert isinstance(answer, Listing)
        return answer

    def measure(
        self,
        cases: Sequence[Case],
        *,
        kind: Literal["timing", "speed"] = "timing",
        profile: bool = False,
        handicap: float = 1.0,
    ) -> dict[Case, Measured]:
        """One after the other. A process that does not live through a case is the failure of that case, and those after it are
        measured in a new one; a process that does not begin is the failure of all."""
        found: dict[Case, Measured] = {}
        for case in cases:
            try:
                answer = self._answer(Order(case=case, kind=kind, profile=profile, handicap=handicap))
                assert not isinstance(answer, Ready | Listing)
                found[case] = answer
            except RunnerError as error:
                found[case] = Failure(case=case, sentence=str(error))
                if not self._ready:
                    return found | {c: Failure(case=c, sentence=str(error)) for c in cases if c not in found}
                self.close()
        return found

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process, self._ready = None, False

    def _start(self) -> "Process":
        inherited = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        path = os.pathsep.join([*self._path, *(str(Path(p).resolve()) for p in inherited)])
        process = Process([self._python, "-m", "mpcore.runner"], self._tree, os.environ | {"PYTHONPATH": path})
        process.send(self._selection)
        return process

    def _answer(self, order: Order) -> Answer:
        """Raises RunnerError."""
        self._process = self._process or self._start()
        if not self._ready:
            answer = self._process.receive(self._limits.ready, "to get ready")
            if isinstance(answer, Failure):
                raise RunnerError(answer.sentence)
            self._ready = True
        self._process.send(order)
        return self._process.receive(self._limits.case, "for one answer")


def confirm(case: Case, selection: Selection) -> Speed | str:
    """`case` measured in a fresh process that finds the same modules as this one, on the device and with the data and the files
    of `selection`; or the sentence that says why it was not. The memory of the GPU should be free."""
    names = {"workloads": (case.workload,), "precisions": (case.precision,), "executions": (case.execution,), "size": case.size}
    narrowed = selection.model_copy(update=names)  # or the data of all that is selected would be loaded
    try:
        with Runner(Path.cwd(), narrowed, path=[p or os.curdir for p in sys.path]) as runner:
            answer = runner.measure([case], kind="speed")[case]
    except RunnerError as error:
        return str(error)
    assert not isinstance(answer, Timing)
    return answer.sentence if isinstance(answer, Failure) else answer
