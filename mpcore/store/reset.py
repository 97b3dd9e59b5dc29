"""Whose older baselines count no more, once a run is accepted.

A person says so, by accepting what is worse, or by naming a case that has become better. Were it left to the figures, one odd
process in an accepted run would make the next ordinary one look slow.
"""

import fnmatch
from collections.abc import Sequence

from mpcore.records import ALL_CASES, AnyRecord, Run, Speed
from mpcore.store.error import RunError


def reset_names(runs: Sequence[Run], patterns: Sequence[str]) -> list[tuple[str, ...]]:
    """The names of the records of each run that fit a pattern, or that were worse than accepted runs. Of several runs of a
    machine the first has them, so that all count. Raises RunError for a pattern that fits none."""
    for pattern in patterns:
        if not any(_fits(result.record, pattern) for run in runs for result in run.results):
            raise RunError(f"no case is called {pattern!r}: expected a case, KIND:CASE, or a pattern such as 'bert-imdb-*'")
    found: dict[str, tuple[str, ...]] = {}
    begun: dict[str, set[str]] = {}
    for run in sorted(runs, key=lambda run: run.datetime):
        known = begun.setdefault(run.machine.hardware.key, set())
        found[run.path] = tuple(sorted(_reset(run, patterns) - known))
        known |= set(found[run.path])
    return [found[run.path] for run in runs]


def _reset(run: Run, patterns: Sequence[str]) -> set[str]:
    all_slower = any(failure.test == ALL_CASES for failure in run.failed)
    return {
        result.record.name
        for result in run.results
        if any(_fits(result.record, pattern) for pattern in patterns)
        or any(regression.status == "worse" for regression in result.regressions)
        or (all_slower and isinstance(result.record, Speed))
    }


def _fits(record: AnyRecord, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (record.case.id, record.name))
