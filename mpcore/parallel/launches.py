"""Cases on one GPU and on several, each measured in a launch of as many ranks. Without torch."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mpcore.parallel.launch import Launcher
from mpcore.records import Case, Listing, Loaded, Selection
from mpcore.runner.runner import Measured, Runner


class Launches:
    """In the place of a `Runner`. A launch measures as many cases of one number of GPUs as follow each other. It is begun when
    the first of them is measured, or prepared. A process without ranks lists what there is to measure, and ends before that.

    The arguments are those of a `Runner`.
    """

    def __init__(self, tree: Path, selection: Selection, python: str | None = None, **options: Any) -> None:
        self._arguments = tree, selection
        self._options: Mapping[str, Any] = {"python": python} | options
        self._lister: Runner | None = None
        self._launched: tuple[int, Launcher] | None = None
        self._patience: float | None = None

    def listing(self) -> Listing:
        """As a Runner's, of a launch where there is one."""
        if self._launched is not None:
            return self._launched[1].listing()
        self._lister = self._lister or Runner(*self._arguments, **self._options)
        return self._lister.listing()

    def loaded(self) -> Loaded | None:
        """As a Runner's, of the launch that there is, or else of what lists; None before either."""
        process = self._launched[1] if self._launched is not None else self._lister
        return None if process is None else process.loaded()

    def prepare(self, cases: Sequence[Case]) -> None:
        """Begins the launch of the first of them. It imports, and touches no GPU before something is asked."""
        self._launcher(min(case.gpus for case in cases))

    def measure(self, cases: Sequence[Case], **asked: Any) -> dict[Case, Measured]:
        """As a Runner's, the cases with fewer GPUs first."""
        found: dict[Case, Measured] = {}
        for gpus, group in groupby(sorted(cases, key=lambda case: case.gpus), key=lambda case: case.gpus):
            found |= self._launcher(gpus).measure(list(group), **asked)
        return found

    def measuring(self, cases: Sequence[Case], **asked: Any) -> Iterator[tuple[Case, Measured]]:
        """As a Runner's, but that nothing begins before the first is taken. Ranks on a CPU would share it with others. Ranks on
        GPUs make contexts, which would change the time of a step beside them."""
        yield from self.measure(cases, **asked).items()

    def be_patient(self, seconds: float) -> None:
        """As a Runner."""
        self._patience = seconds
        if self._launched is not None:
            self._launched[1].be_patient(seconds)

    def close(self) -> None:
        for process in (self._lister, self._launched and self._launched[1]):
            if process is not None:
                process.close()
        self._lister = self._launched = None

    def _launcher(self, gpus: int) -> Launcher:
        if self._launched is None or self._launched[0] != gpus:
            self.close()
            self._launched = gpus, Launcher(*self._arguments, gpus, **self._options)
            if self._patience is not None:
                self._launched[1].be_patient(self._patience)
        return self._launched[1]
