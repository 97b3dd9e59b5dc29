"""Whose older baselines count no more, once a run is accepted.

A person says so, by accepting what is worse, or by naming a case that has become better. Were it left to the figures, one odd
process in an accepted run would make the next ordinary one look slow.
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from mpcore.records import ALL_CASES, Run, Speed
from mpcore.store.error import RunError


def reset_names(runs: Sequence[Run], patterns: Sequence[str], joined: Mapping[str, Sequence[Run]]) -> list[tuple[str, ...]]:
    """The names of the records of each run that fit a pattern, or that were worse than accepted runs. Of several runs of a
    machine the first has them, so that all count. A pattern that fits none of them may fit accepted runs: what is no longer
    measured is let go. joined: those, by their hardware. Raises RunError for a pattern that fits nothing."""
    gone = [pattern for pattern in patterns if not _fitting(runs, [pattern])]
    for pattern in gone:
        if not any(_fitting(accepted, [pattern]) for accepted in joined.values()):
            raise RunError(f"no case is called {pattern!r}: expected a case, KIND:CASE, or a pattern such as 'bert-imdb-*'")
    found: dict[str, tuple[str, ...]] = {}
    begun: dict[str, set[str]] = {}
    for run in sorted(runs, key=lambda run: run.datetime):
        key = run.machine.hardware.key
        known = begun.setdefault(key, set())
        reset = _fitting([run], patterns) | _worse(run) | _fitting(joined.get(key, ()), gone)
        found[run.path] = tuple(sorted(reset - known))
        known |= reset
    return [found[run.path] for run in runs]


def since_reset(runs: Iterable[Run]) -> list[Run]:
    """The runs, without what one of them has reset that was accepted later on the same hardware."""
    runs, found = list(runs), []
    for run in runs:
        reset = {name for other in runs if other.accepted and _later(other, run) for name in other.accepted.reset}
        kept = tuple(result for result in run.results if result.record.name not in reset)
        found.append(run.model_copy(update={"results": kept}))
    return found


def _later(run: Run, other: Run) -> bool:
    """Whether both are accepted on one hardware, this one later. Of those that were accepted together it is the newer."""
    if run.accepted is None or other.accepted is None or run.machine.hardware.key != other.machine.hardware.key:
        return False
    return (run.accepted.datetime, run.datetime) > (other.accepted.datetime, other.datetime)


def _worse(run: Run) -> set[str]:
    all_slower = any(failure.test == ALL_CASES for failure in run.failed)
    return {
        result.record.name
        for result in run.results
        if any(regression.status == "worse" for regression in result.regressions)
        or (all_slower and isinstance(result.record, Speed))
    }


def _fitting(runs: Iterable[Run], patterns: Sequence[str]) -> set[str]:
    """The names of their records that fit one of the patterns, by the name or by the case."""
    records = (result.record for run in runs for result in run.results)
    return {r.name for r in records if any(fnmatch.fnmatchcase(name, p) for name in (r.case.id, r.name) for p in patterns)}
