"""How a run becomes a baseline: by hand, with a reason, and never when something in it failed that nobody has named."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpcore.records import Accepted, FailedTest, Run
from mpcore.store.anew import expected_anew
from mpcore.store.baselines import accepted, comparable, number
from mpcore.store.files import KEY, RunError, read, to_run
from mpcore.store.write import locked, remove, write

KEEP = 10
"""Baselines of one machine."""


@dataclass(frozen=True)
class Candidate:
    """A file that may become a baseline: all that it holds, the run in it, what of its failures was overruled, and the names of
    the records that are expected anew."""

    content: dict[str, Any]
    run: Run
    overruled: tuple[str, ...]
    anew: tuple[str, ...]


def accept(
    files: Iterable[str | Path],
    folder: Path,
    reason: str,
    *,
    overrule: Sequence[str] = (),
    anew: Sequence[str] = (),
    keep: int = KEEP,
    announce: Callable[[Run, Sequence[Run]], None] = lambda run, before: None,
) -> tuple[list[Path], list[Path]]:
    """The new baselines in `folder`, and the oldest ones of their machines, that were removed for there to be `keep` of each.

    anew: patterns of cases, or KIND:CASE, of which nothing that older baselines have is expected any longer; what is overruled
    is one of them. announce: is given each run and the baselines that it joins, once all files are found good and before one
    is written. Raises RunError for a file that cannot be used or read, has no results, is a baseline already, or has failures
    that `overrule` does not name, and for a pattern that fits nothing; then nothing is written.
    """
    reason = " ".join(reason.encode(errors="replace").decode().split())  # a terminal's bytes need not be a text
    if not reason:
        raise RunError("nothing is accepted without a reason")
    found = [(content := read(file), to_run(file, content)) for file in files]
    runs = [run for _, run in found]
    fields = zip(found, _overruled(runs, overrule), expected_anew(runs, anew), strict=True)
    candidates = [Candidate(*of, overruled, begun) for of, overruled, begun in fields]
    with locked(folder):
        joined = _join(candidates, folder, keep)
        for candidate in candidates:
            announce(candidate.run, joined[candidate.run.machine.hardware.key])
        new = _named(candidates, folder, joined)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stamps = {p: Accepted(reason=reason, datetime=now, overruled=c.overruled, anew=c.anew) for p, c in new.items()}
        write({path: json.dumps(_stamped(new[path], stamp), indent=1) + "\n" for path, stamp in stamps.items()})
        old = [Path(run.path) for run in _surplus(candidates, joined, keep)]
        remove(old)
    return list(new), old


def _overruled(runs: list[Run], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The tests of each run. Raises RunError where something failed that has no name here, and for a name of nothing that
    failed."""
    for name in names:
        if not any(name in _names(failure) for run in runs for failure in run.failed):
            failed = ", ".join(_name(failure, run) for run in runs for failure in run.failed)
            raise RunError(f"nothing that failed is called {name!r}; what failed: {failed or 'nothing'}")
    for run in runs:
        if not run.results:
            raise RunError(f"{run.path} has no results: nothing in it could be compared with")
        if run.missed:
            raise RunError(f"{run.path} was ended before it reached {run.missed} of its cases, and is no reference for them")
        tests = {_only(name, run) for name in names} - {None}
        left = [failure for failure in run.failed if failure.test not in tests]
        if left:
            listed = ", ".join(_name(failure, run) for failure in left)
            why = " ".join(left[0].sentence.split())
            raise RunError(
                f"{run.path} has failures, and a failed run is no reference: {listed} (the first: {why:.300}); "
                "what is meant to be so is named with --overrule"
            )
    return [tuple(failure.test for failure in run.failed) for run in runs]


def _only(name: str, run: Run) -> str | None:
    """The test of this run that failed and has this name. Raises RunError if there are several."""
    failed = [failure for failure in run.failed if name in _names(failure)]
    if len(failed) > 1:
        raise RunError(f"{run.path}: {name!r} is one of {', '.join(_name(f, run) for f in failed)}: say which")
    return failed[0].test if failed else None


def _names(failure: FailedTest) -> list[str]:
    """What a test can be called: its node id, its case, and its case with the kind of the test before it."""
    return [failure.test, failure.case, failure.name] if failure.case else [failure.test]


def _name(failure: FailedTest, run: Run) -> str:
    """The shortest one that no other failure of its run has."""
    others = [name for f in run.failed if f.test != failure.test for name in _names(f)]
    return min((name for name in _names(failure) if name not in others), key=len)


def _join(candidates: list[Candidate], folder: Path, keep: int) -> dict[str, list[Run]]:
    """The baselines of each candidate's machine. Raises RunError for a candidate that cannot stand beside these and those
    before it."""
    joined: dict[str, list[Run]] = {}
    seen: list[Run] = []
    for run in (candidate.run for candidate in candidates):
        hardware = run.machine.hardware
        joined.setdefault(hardware.key, accepted(folder, hardware))
        if any(other.path == run.path for other in seen):
            raise RunError(f"{run.path} is named twice")
        for other in (*joined[hardware.key], *seen):
            if (other.datetime, other.commit) == (run.datetime, run.commit):
                raise RunError(f"{run.path} has been accepted already: it is the run in {other.path}")
            if other.machine.hardware.key == hardware.key and (why := comparable(hardware, other.machine.hardware)):
                raise RunError(f"{run.path}, machine_info: its machine cannot be compared with that of {other.path}: {why}")
        seen.append(run)
        count = sum(other.machine.hardware.key == hardware.key for other in seen)
        if count > keep:
            raise RunError(f"{count} runs on {hardware.key} cannot be accepted at once where {keep} are kept")
    return joined


def _named(candidates: list[Candidate], folder: Path, joined: dict[str, list[Run]]) -> dict[Path, Candidate]:
    """By the files that they will be. The oldest comes first."""
    last = {key: max(map(number, runs), default=0) for key, runs in joined.items()}
    new = {}
    for candidate in sorted(candidates, key=lambda c: c.run.datetime):
        key = candidate.run.machine.hardware.key
        last[key] += 1
        commit = re.sub(r"\W", "", candidate.run.commit or "")[:8] or "unversioned"
        new[folder / key / f"{last[key]:04}_{commit}.json"] = candidate
    return new


def _stamped(candidate: Candidate, stamp: Accepted) -> dict[str, Any]:
    ours = candidate.content[KEY] | {"accepted": stamp.model_dump(mode="json")}
    return candidate.content | {KEY: ours}


def _surplus(candidates: list[Candidate], joined: dict[str, list[Run]], keep: int) -> list[Run]:
    added = {key: sum(c.run.machine.hardware.key == key for c in candidates) for key in joined}
    return [run for key, runs in joined.items() for run in runs[: max(0, len(runs) + added[key] - keep)]]
