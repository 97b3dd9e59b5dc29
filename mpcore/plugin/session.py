"""What one pytest session knows: its bench, and the results so far."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mpcore.measure import Bench
    from mpcore.plugin.baseline import Baseline
    from mpcore.records import Case, Result, Size


@dataclass
class Session:
    """What one pytest session knows of its cases."""

    bench: "Bench"
    size: "Size"
    results: "list[Result]" = field(default_factory=list)
    saved: list[dict[str, Any]] = field(default_factory=list)
    """For each result what pytest-benchmark will save with it."""
    collected: "dict[str, tuple[str, Case]]" = field(default_factory=dict)
    """Tests of cases, by their node ids: the kind of test, and the case."""
    ran: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by test, whether or not it left a result."""
    baseline: "Baseline | None" = None
    skipped: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Tests that failed for --mp-strict only, which says nothing of what was measured."""

    @property
    def missed(self) -> set[str]:
        """Tests that were to run, and were not reached."""
        return self.collected.keys() - self.ran - self.failed.keys() - self.skipped.keys()

    def add(self, result: "Result", extra_info: dict[str, Any]) -> None:
        from mpcore.store import KEY

        self.results.append(result)
        self.saved.append(extra_info)
        extra_info[KEY] = result.model_dump(mode="json")

    def drifted(self, case: "Case") -> None:
        """Adds the drift of its references to all records of the case's workload. It fails where it is so large that what was
        shown to be faster than such a reference may not be."""
        from mpcore.measure import Failed, explained
        from mpcore.records import Speed
        from mpcore.store import KEY

        same = [
            i
            for i, result in enumerate(self.results)
            if isinstance(result.record, Speed) and result.record.case.in_precision("") == case.in_precision("")
        ]
        try:
            drift = self.bench.drift(case) if same else {}
        except Failed as failed:
            self.skipped[f"{case.id}: drift"] = f"the references of {case.workload} were not timed again: {explained(failed)}"
            return
        for i in same:
            record = self.results[i].record.model_copy(update={"drift": drift})
            self.results[i] = self.results[i].model_copy(update={"record": record})
            self.saved[i][KEY] = self.results[i].model_dump(mode="json")
        for mode, share in drift.items():
            shown = [v for i in same for v in self.results[i].verdicts if v.metric == f"speed-up over {mode}" and v.passed]
            doubtful = [v.case for v in shown if v.value is not None and v.value * (1 - abs(share)) <= 1]
            if doubtful:
                pytest.fail(
                    f"{case.workload}: a step of {mode} took {100 * share:+.1f} % at the end of the workload from what it took "
                    f"at the beginning, so that {', '.join(doubtful)} may not be faster",
                    pytrace=False,
                )


SESSION = pytest.StashKey[Session]()
