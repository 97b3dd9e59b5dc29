"""Accepted runs of this machine, and what is judged against them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.records import ALL_CASES
from mpcore.selection import ALL, possible

if TYPE_CHECKING:
    from mpcore.gate import Since
    from mpcore.measure import Bench
    from mpcore.plugin.session import Session
    from mpcore.policy import Margins, Policy
    from mpcore.records import AnyRecord, Case, Run, Speed, Verdict


def add_options(group: Any) -> None:
    group.addoption("--mp-baselines", metavar="DIR", help="where accepted runs are (default: baselines in the root directory)")
    group.addoption(
        "--mp-margin",
        metavar="[CASES:]METRIC=VALUE",
        action="append",
        default=[],
        help="what may get worse since accepted runs: step-time, eager-time and memory in per cent, points of accuracy, "
        "errors as a factor, updates as an error that is none yet; for cases whose name fits a pattern, or all; may be "
        "repeated; before [tool.mpcore.margins] in pyproject.toml",
    )
    group.addoption("--mp-strict", action="store_true", help="what is undecided or new against accepted runs fails, too")


class Baseline:
    """The `baseline` of a session. own: margins of a case's workload, for where none is given. again: measures a case once more
    in a fresh process, or says why that was not possible."""

    def __init__(
        self,
        folder: str,
        runs: "Sequence[Run]",
        policy: "Policy",
        own: "Callable[[Case], Mapping[str, float]]",
        again: "Callable[[Case], Speed | str]",
    ) -> None:
        self.folder = folder
        self.runs = runs
        self._policy = policy
        self._own = own
        self._again = again
        self._judged: list[Since] = []

    @property
    def idle(self) -> list[str]:
        """Patterns of margins that fit no case which could be selected."""
        return self._policy.idle([*possible(), ALL_CASES])

    def verdicts(self, record: "AnyRecord") -> "list[Verdict]":
        """Of a record against the accepted ones of its case. A time or a memory that is worse is measured again."""
        from mpcore.gate import compared, confirmed, since
        from mpcore.records import Speed

        of = since(record, self.runs)
        self._judged.append(of)
        margins = self._margins(record.case)
        first = compared(of, margins)
        if not isinstance(record, Speed) or all(v.status != "worse" for v in first):
            return first
        second = self._again(record.case)
        return confirmed(first, second if isinstance(second, str) else compared(since(second, self.runs), margins))

    def common(self) -> "Verdict | None":
        """What all cases share, where there are enough of them."""
        from mpcore.gate import common_change

        return common_change(self._judged, self._policy.margins(ALL_CASES))

    def _margins(self, case: "Case") -> "Margins":
        margins = self._policy.margins(case.id)
        return margins.model_copy(update={n: v for n, v in self._own(case).items() if getattr(margins, n) is None})


def baseline_of(config: pytest.Config, bench: "Bench") -> Baseline:
    """Raises UsageError for a margin that is none, and for accepted runs that cannot be read or are of another machine."""
    from mpcore.hardware import probe
    from mpcore.plugin.options import selection_of
    from mpcore.policy import PolicyError, load_policy
    from mpcore.runner import confirm
    from mpcore.store import RunError, accepted

    def again(case: "Case") -> "Speed | str":
        bench.release()
        return confirm(case, selection_of(config))

    try:
        policy = load_policy(config.rootpath / "pyproject.toml", config.getoption("mp_margin"))
        hardware = probe(bench.device)
        runs = accepted(_folder(config), hardware)
    except (PolicyError, RunError) as error:
        raise pytest.UsageError(str(error)) from error
    folder = _folder(config) / hardware.key
    shown = folder.relative_to(config.rootpath) if folder.is_relative_to(config.rootpath) else folder
    return Baseline(str(shown), runs, policy, bench.own_margins, again)


def _folder(config: pytest.Config) -> Path:
    given = config.getoption("mp_baselines")
    if not given:
        return config.rootpath / "baselines"
    folder = config.invocation_params.dir / given
    if not folder.is_dir():
        raise pytest.UsageError(f"--mp-baselines {given!r}: expected a folder, such as one that python -m mpcore accept made")
    return folder


def lost(config: pytest.Config, session: "Session", baseline: Baseline) -> bool:
    """Whether a session fails in which no test did: all became slower alike, or, strictly, something is gone or not decided."""
    common, strict = baseline.common(), config.option.mp_strict
    if common and (not common.passed or (strict and common.open)):
        return True
    return bool(strict and gone(config, session, baseline.runs))


def gone(config: pytest.Config, session: "Session", runs: "Sequence[Run]") -> list[str]:
    """The cases of the last accepted run that are no longer there, or are skipped now: of the kinds of tests and the names that
    were chosen."""
    chosen_by_hand = [getattr(config.option, name, None) for name in ("keyword", "deselect", "ignore", "ignore_glob", "lf")]
    if not runs or any(chosen_by_hand) or any("::" in argument for argument in config.args):
        return []
    from mpcore.plugin.options import selection_of

    selection = selection_of(config)
    kinds, sizes = {kind for kind, _ in session.collected.values()}, {case.size for _, case in session.collected.values()}
    here = {(kind, case.id): session.skipped.get(test) for test, (kind, case) in session.collected.items()}
    chosen = (selection.workloads, selection.precisions, selection.executions, selection.batch_sizes)
    found = []
    for record in (result.record for result in runs[-1].results):
        names = (record.case.workload, record.case.precision, record.case.execution, record.case.batch_size)
        looked_for = all(name in some or not some or ALL in some for name, some in zip(names, chosen, strict=True))
        why = here.get((record.test, record.case.id), "there is no such test")
        if looked_for and record.test in kinds and record.case.size in sizes and why is not None:
            found.append(f"{record.test} of {record.case.id}: {why}")
    return found
