"""How a run becomes a baseline: by hand, with a reason, and never when something in it failed that nobody has named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpcore.records import ALL_CASES, Accepted, AccuracyProof, Calibration, FailedTest, Regression, Run
from mpcore.store.atomic import locked, remove, sweep, write
from mpcore.store.baselines import accepted, comparable, number
from mpcore.store.calibrations import calibration
from mpcore.store.error import RunError
from mpcore.store.files import KEY, read, text_of, to_run
from mpcore.store.reset import reset_names
from mpcore.store.sensitivities import sensitivities

if TYPE_CHECKING:
    from mpcore.gate import Policy

KEEP = 10
"""Baselines of one machine."""
Read = tuple[dict[str, Any], Run]
"""All that a file holds, and the run in it."""


@dataclass(frozen=True)
class Candidate:
    """A file that may become a baseline: all that it holds, the run in it, why it is accepted, and the runs that it
    joins: baselines, and those that are accepted with it."""

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
    policy: "Policy | None" = None,
) -> list[Candidate]:
    """One for each file; none for one that a process has accepted which was killed before it accepted all. Nothing is written.

    allow_failures: what failed and is meant to be so, each a node id, CASE or KIND:CASE. reset: patterns of CASE or KIND:CASE,
    whose older baselines count no more; what is allowed to be worse than they are is one of them. Each run is judged against
    those that it joins, with the margins and caps of `policy`, and against the oldest of them. Raises RunError for a file that
    cannot be used or read, has no results, or is a baseline already. Also for one that has failures or is worse where
    `allow_failures` does not name it, and for a name that fits nothing.
    """
    reason = " ".join(reason.encode(errors="replace").decode().split())  # a terminal's bytes need not be a text
    if not reason:
        raise RunError("nothing is accepted without a reason")
    found = _left([(content := read(file), to_run(file, content)) for file in files], folder)
    runs = [run for _, run in found]
    joined = _join(runs, folder, keep)
    judged = _judged(runs, joined, folder, policy)
    allowed, names = _allowed(judged, allow_failures), reset_names(judged, reset, joined)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Candidate(
            content=content,
            run=run,
            accepted=Accepted(reason=reason, datetime=now, allowed_failures=allowed_in_run, reset=reset_in_run),
            baselines=(*joined[run.machine.hardware.key], *_before(run, runs)),
        )
        for (content, run), allowed_in_run, reset_in_run in zip(found, allowed, names, strict=True)
    ]


def accept(candidates: Sequence[Candidate], folder: Path, keep: int = KEEP) -> tuple[list[Path], list[Path]]:
    """The new baselines in `folder`, and the oldest ones of their machines, that were removed for there to be `keep` of each.

    Raises RunError where a candidate cannot stand beside what others have accepted since it was checked, and for what cannot be
    written; then nothing is. And where an old baseline cannot be removed, with the names of the new ones.
    """
    with locked(folder):
        joined = _join([candidate.run for candidate in candidates], folder, keep)
        new = _named(candidates, folder, joined)
        for key in joined:
            sweep(folder / key)
        write({path: text_of(_stamped(candidate)) for path, candidate in new.items()})
        old = [Path(run.path) for run in _surplus(candidates, joined, keep)]
        try:
            remove(old)
        except RunError as error:
            raise RunError(f"{error}; what is new is accepted nevertheless: {', '.join(map(str, new))}") from error
    return list(new), old


def _left(found: list[Read], folder: Path) -> list[Read]:
    """Those of several that are not accepted yet. Where all are, they stay, to be refused."""
    machines = {run.machine.hardware.key: run.machine.hardware for _, run in found}
    known = {key: accepted(folder, hardware) for key, hardware in machines.items()}
    left = [(content, run) for content, run in found if not any(_same(run, old) for old in known[run.machine.hardware.key])]
    return left or found


def _before(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Those that are accepted with it on the same hardware, and were made earlier."""
    same = [other for other in runs if other.machine.hardware.key == run.machine.hardware.key]
    return sorted((other for other in same if other.datetime < run.datetime), key=lambda other: other.datetime)


def _same(run: Run, old: Run) -> bool:
    """Whether `old` is this run, to the last figure."""
    return (run.datetime, run.commit, run.results) == (old.datetime, old.commit, old.results)


def _judged(runs: Sequence[Run], joined: dict[str, list[Run]], folder: Path, policy: "Policy | None") -> list[Run]:
    """The runs with what is said of each now, against the baselines of its machine and the earlier ones of these. It stands
    beside what its session said, which may have been told of other baselines, or of none."""
    from mpcore.gate import Policy  # which loads scipy

    found = {}
    before = {key: list(baselines) for key, baselines in joined.items()}
    for run in sorted(runs, key=lambda run: run.datetime):
        baselines = before[run.machine.hardware.key]
        hardware = run.machine.hardware
        fitted, proofs = calibration(folder, hardware), sensitivities(folder, hardware.key).accuracy
        found[run.path] = _with_verdicts(run, baselines, policy or Policy(), fitted, proofs)
        baselines.append(run)
    return [found[run.path] for run in runs]


def _with_verdicts(
    run: Run, baselines: Sequence[Run], policy: "Policy", fitted: Calibration | None, proofs: Sequence[AccuracyProof]
) -> Run:
    """What has drifted is among what failed, and among what is worse."""
    from mpcore.gate import drifted, judge_run

    now, drift = judge_run(run, baselines, policy, fitted, proofs), drifted(run, baselines, policy, fitted)
    told = {failure.name or failure.test for failure in run.failed if not failure.strict}
    found = {f.name or f.test: f for f in (*(_failure(*item) for item in drift.items()), *now.failed) if not f.strict}
    failed = (*run.failed, *(failure for name, failure in found.items() if name not in told))
    results = [
        result.model_copy(update={"regressions": (*result.regressions, *judged.regressions, *_of(drift, result.record.name))})
        for result, judged in zip(run.results, now.results, strict=True)
    ]
    return run.model_copy(update={"failed": failed, "results": tuple(results)})


def _of(drift: Mapping[str, Regression], name: str) -> list[Regression]:
    return [drift[name]] if name in drift else []


def _failure(name: str, regression: Regression) -> FailedTest:
    return FailedTest(test=name, name="" if name == ALL_CASES else name, sentence=regression.sentence)


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
                f"{run.path} has failures, and a failed run is no reference: {listed} (the first: {why:.300}). "
                "--allow-failure names what is meant to be so"
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
                already = "" if other in seen else "has been accepted already: it "
                raise RunError(f"{run.path} {already}is the run in {other.path}")
            if other.machine.hardware.key == hardware.key and (why := comparable(hardware, other.machine.hardware)):
                raise RunError(f"{run.path}: its machine cannot be compared with the one in {other.path}: {why}")
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
    """The oldest ones, but for those that others are held against for slow drift, as long as there are others."""
    from mpcore.gate import anchors

    surplus = []
    for key, runs in joined.items():
        added = sum(c.run.machine.hardware.key == key for c in candidates)
        kept = anchors(runs)
        numbers = sorted(range(len(runs)), key=lambda number: (number in kept, number))
        surplus += [runs[number] for number in sorted(numbers[: max(0, len(runs) + added - keep)])]
    return surplus
