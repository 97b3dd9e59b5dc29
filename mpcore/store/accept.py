"""How a run becomes a baseline: by hand, with a reason, and never when something in it failed that nobody has named."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpcore.records import Accepted, FailedTest, Run
from mpcore.store.atomic import locked, remove, write
from mpcore.store.baselines import accepted, comparable, number
from mpcore.store.error import RunError
from mpcore.store.files import KEY, read, text_of, to_run
from mpcore.store.reset import reset_names

KEEP = 10
"""Baselines of one machine."""


@dataclass(frozen=True)
class Candidate:
    """A file that may become a baseline: all that it holds, the run in it, why it is accepted, and the baselines that it
    joins."""

    content: dict[str, Any]
    run: Run
    accepted: Accepted
    baselines: tuple[Run, ...]


def check(
    files: Iterable[str | Path],
    folder: Path,
    reason: str,
    *,
    allow_failures: Sequence[str] = (),
    reset: Sequence[str] = (),
    keep: int = KEEP,
) -> list[Candidate]:
    """One for each file. Nothing is written.

    allow_failures: what failed and is meant to be so, each a node id, CASE or KIND:CASE. reset: patterns of CASE or KIND:CASE,
    whose older baselines count no more; what is allowed to be worse than they are is one of them. Raises RunError for a file
    that cannot be used or read, has no results, is a baseline already, or has failures that `allow_failures` does not name,
    and for a name or pattern that fits nothing.
    """
    reason = " ".join(reason.encode(errors="replace").decode().split())  # a terminal's bytes need not be a text
    if not reason:
        raise RunError("nothing is accepted without a reason")
    contents = [(file, read(file)) for file in files]
    runs = [to_run(file, content) for file, content in contents]
    allowed, names = _allowed(runs, allow_failures), reset_names(runs, reset)
    joined = _join(runs, folder, keep)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Candidate(
            content=content,
            run=run,
            accepted=Accepted(reason=reason, datetime=now, allowed_failures=allowed_in_run, reset=reset_in_run),
            baselines=tuple(joined[run.machine.hardware.key]),
        )
        for (_, content), run, allowed_in_run, reset_in_run in zip(contents, runs, allowed, names, strict=True)
    ]


def accept(candidates: Sequence[Candidate], folder: Path, keep: int = KEEP) -> tuple[list[Path], list[Path]]:
    """The new baselines in `folder`, and the oldest ones of their machines, that were removed for there to be `keep` of each.

    Raises RunError where a candidate cannot stand beside what others have accepted since it was checked, and for what cannot be
    written; then nothing is.
    """
    with locked(folder):
        joined = _join([candidate.run for candidate in candidates], folder, keep)
        new = _named(candidates, folder, joined)
        write({path: text_of(_stamped(candidate)) for path, candidate in new.items()})
        old = [Path(run.path) for run in _surplus(candidates, joined, keep)]
        remove(old)
    return list(new), old


def _allowed(runs: Sequence[Run], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The tests of each run that may have failed. Raises RunError where something failed that has no name here, and for a name
    of nothing that failed."""
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
        left = [failure for failure in run.failed if failure.test not in tests and not failure.strict]
        if left:
            listed = ", ".join(_name(failure, run) for failure in left)
            why = " ".join(left[0].sentence.split())
            raise RunError(
                f"{run.path} has failures, and a failed run is no reference: {listed} (the first: {why:.300}); "
                "what is meant to be so is named with --allow-failure"
            )
    return [tuple(failure.test for failure in run.failed if not failure.strict) for run in runs]


def _only(name: str, run: Run) -> str | None:
    """The test of this run that failed, not for --mp-strict alone, and has this name. Raises RunError if there are several."""
    failed = [failure for failure in run.failed if name in _names(failure) and not failure.strict]
    if len(failed) > 1:
        raise RunError(f"{run.path}: {name!r} is one of {', '.join(_name(f, run) for f in failed)}: say which")
    return failed[0].test if failed else None


def _names(failure: FailedTest) -> list[str]:
    """What a test can be called: its node id, its case, its case with its kind before it, and the record that it measures."""
    return [failure.test, failure.case, f"{failure.kind}:{failure.case}", failure.name] if failure.case else [failure.test]


def _name(failure: FailedTest, run: Run) -> str:
    """The shortest one that no other failure of its run has."""
    others = [name for f in run.failed if f.test != failure.test for name in _names(f)]
    return min((name for name in _names(failure) if name not in others), key=len)


def _join(runs: Sequence[Run], folder: Path, keep: int) -> dict[str, list[Run]]:
    """The baselines of each run's machine. Raises RunError for a run that cannot stand beside these and those before it."""
    joined: dict[str, list[Run]] = {}
    seen: list[Run] = []
    for run in runs:
        hardware = run.machine.hardware
        if hardware.key not in joined:
            joined[hardware.key] = accepted(folder, hardware)
        if any(other.path == run.path for other in seen):
            raise RunError(f"{run.path} is named twice")
        for other in (*joined[hardware.key], *seen):
            if (other.datetime, other.commit) == (run.datetime, run.commit):
                raise RunError(f"{run.path} has been accepted already: it is the run in {other.path}")
            if other.machine.hardware.key == hardware.key and (why := comparable(hardware, other.machine.hardware)):
                raise RunError(f"{run.path}: its machine cannot be compared with that of {other.path}: {why}")
        seen.append(run)
        count = sum(other.machine.hardware.key == hardware.key for other in seen)
        if count > keep:
            raise RunError(f"{count} runs on {hardware.key} cannot be accepted at once where {keep} are kept")
    return joined


def _named(candidates: Sequence[Candidate], folder: Path, joined: dict[str, list[Run]]) -> dict[Path, Candidate]:
    """By the files that they will be. The oldest comes first."""
    last = {key: max(map(number, runs), default=0) for key, runs in joined.items()}
    new = {}
    for candidate in sorted(candidates, key=lambda c: c.run.datetime):
        key = candidate.run.machine.hardware.key
        last[key] += 1
        commit = re.sub(r"\W", "", candidate.run.commit or "")[:8] or "unversioned"
        new[folder / key / f"{last[key]:04}_{commit}.json"] = candidate
    return new


def _stamped(candidate: Candidate) -> dict[str, Any]:
    """All that the file holds, what a newer layout adds included."""
    ours = candidate.content[KEY] | {"accepted": candidate.accepted.model_dump(mode="json")}
    return candidate.content | {KEY: ours}


def _surplus(candidates: Sequence[Candidate], joined: dict[str, list[Run]], keep: int) -> list[Run]:
    added = {key: sum(c.run.machine.hardware.key == key for c in candidates) for key in joined}
    return [run for key, runs in joined.items() for run in runs[: max(0, len(runs) + added[key] - keep)]]
