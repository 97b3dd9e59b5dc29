"""Base against head by work: how many cases do the same, a row for each that does not, and what it does otherwise."""

import re
from collections.abc import Iterator, Sequence

from mpcore.records import Case, Comparison, PairedCase, Regression, RegressionStatus
from mpcore.report.document import Section, Table
from mpcore.report.text import counted, tally

ORDER: tuple[RegressionStatus, ...] = ("worse", "changed", "better", "incomparable", "new")
"""What is read first comes first."""
MOST_SENTENCES = 20
"""That are shown: a change of what all modes share changes every case, and the first few say how."""
VARYING = re.compile(r"b?float|[\d,]+")
"""What differs from mode to mode where one change does the same to all."""
SPARE = ("state bytes", "cast bytes", "saved bytes", "FLOPs")
"""What a terminal leaves out first."""


def changed_work(comparison: Comparison) -> list[Section]:
    """The count of cases that do the same is always there."""
    changed = [case for case in comparison.cases if _gravest(case) in ORDER[:3]]
    judged = [case for case in comparison.cases if _gravest(case) not in ORDER[3:]]
    same = f"{len(judged) - len(changed):,} of {len(judged):,} cases do exactly the same"
    table = [_table(changed)] if changed else []
    sentences = [*_told(comparison.cases), *_unknown(comparison)]
    return [Section(lead=same if judged else "nothing is compared"), Section(tables=table), Section(sentences=sentences)]


def _table(cases: Sequence[PairedCase]) -> Table:
    """With a column for each figure that differs in any of them."""
    metrics = list(dict.fromkeys(r.metric for case in cases for r in case.regressions if r.status != "same"))
    rows = [[case.case.id, *(_difference(case, metric) for metric in metrics), str(_gravest(case))] for case in cases]
    return Table(["case", *metrics, "status"], rows, f"l{'r' * len(metrics)}l", SPARE)


def _difference(case: PairedCase, metric: str) -> str:
    """Empty where there is none, "others" where as many are not the same."""
    found = next((r for r in case.regressions if r.metric == metric and r.status != "same"), None)
    if found is None or found.value is None or found.limit is None:
        return ""
    return f"{found.value - found.limit:+,.0f}" if found.value != found.limit else "others"


def _gravest(case: PairedCase) -> RegressionStatus:
    statuses = {regression.status for regression in case.regressions}
    return next((status for status in ORDER if status in statuses), "same")


def _told(cases: Sequence[PairedCase]) -> Iterator[str]:
    """What is alike but for numbers and formats is said once, and counted."""
    groups: dict[tuple[int, str], list[Regression]] = {}
    for case in cases:
        for regression in case.regressions:
            if regression.status in ORDER:
                groups.setdefault((ORDER.index(regression.status), _pattern(case.case, regression)), []).append(regression)
    for _, (first, *others) in sorted(groups.items(), key=lambda item: item[0][0])[:MOST_SENTENCES]:
        alike = f" (alike in {counted(len(others), 'other case')})" if others else ""
        yield f"{first.status}: {first.sentence}{alike}"
    if len(groups) > MOST_SENTENCES:
        yield f"and {counted(len(groups) - MOST_SENTENCES, 'other sentence')}, which the file of --json has"


def _pattern(case: Case, regression: Regression) -> str:
    names = "|".join(map(re.escape, (case.workload, case.precision)))
    return VARYING.sub("", re.sub(rf"(?<![\w-])({names})(?![\w-])", "", regression.sentence))


def _unknown(comparison: Comparison) -> list[str]:
    return [
        *(f"failed: {case}: {sentence}" for case, sentence in comparison.failures.items()),
        *(f"not run: {reason}" for reason in tally(comparison.skipped.values())),
    ]
