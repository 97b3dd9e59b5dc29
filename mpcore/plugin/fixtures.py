"""What a test of a case asks for."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin.baseline import Baseline
from mpcore.plugin.options import session_of, trained

if TYPE_CHECKING:
    from mpcore.measure import Bench
    from mpcore.records import AnyRecord, Case, Verdict


@pytest.fixture
def case(request: pytest.FixtureRequest) -> "Case":
    """One workload in one mode. What is timed or trained is skipped where a CPU only emulates the mode's arithmetic."""
    from mpcore.measure import Failed, explained
    from mpcore.precision import Inapplicable
    from mpcore.registry import workloads

    case: Case = request.param
    if request.node.get_closest_marker("accuracy"):
        if workloads[case.workload].synthetic:
            pytest.skip(f"the inputs of {case.workload} are random: there is nothing to be accurate about")
        if not trained(request.config, case.workload):
            pytest.skip(f"{case.workload} is trained on request: --mp-accuracy {case.workload}, or all")
    if not any(request.node.get_closest_marker(kind) for kind in ("speed", "accuracy", "parity")):
        return case
    try:
        skip, why = True, session_of(request.config).bench.emulated(case)
    except Inapplicable as inapplicable:
        skip, why = True, f"{case.workload}: {inapplicable}"
    except Failed as failed:
        skip, why = False, f"{case.id}: {explained(failed)}"
    if why:  # outside of the handlers, or what they handle would be shown, too
        pytest.skip(why) if skip else pytest.fail(why, pytrace=False)
    return case


@pytest.fixture
def rival(request: pytest.FixtureRequest, case: "Case") -> Any:
    """Another trainer by its name; skipped where it is not installed or has no such mode."""
    from mpcore.rivals import rivals

    rival = rivals[request.param]
    if reason := rival.unsupported(case.precision):
        pytest.skip(reason)
    return rival


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> "Bench":
    """Measures cases on the device that was chosen."""
    return session_of(request.config).bench


@pytest.fixture
def baseline(request: pytest.FixtureRequest) -> Baseline:
    """The accepted runs of this machine."""
    found = session_of(request.config).baseline
    assert found is not None  # it is read before the first test
    return found


@pytest.fixture
def judge(request: pytest.FixtureRequest, benchmark: Any) -> "Callable[[AnyRecord, Sequence[Verdict]], None]":
    """Hands a record to pytest-benchmark, which saves it, and fails the test where a verdict does."""
    clock = request.node.get_closest_marker("benchmark").kwargs["timer"]
    session = session_of(request.config)

    def judge(record: "AnyRecord", verdicts: "Sequence[Verdict]") -> None:
        from mpcore.records import Parity, Quality, Result, Speed

        session.add(Result(record=record, verdicts=tuple(verdicts)), benchmark.extra_info)
        if isinstance(record, Speed):
            clock.replay(benchmark, record.blocks.seconds, record.blocks.steps)
        elif isinstance(record, Quality):
            clock.replay(benchmark, [t.train_seconds for t in record.trainings])
        elif isinstance(record, Parity):
            clock.replay(benchmark, record.ours.seconds, record.ours.steps)
        else:
            clock.replay(benchmark, [record.seconds])
        strict = request.config.option.mp_strict
        failed = [v.sentence for v in verdicts if not v.passed or (strict and v.open)]
        if failed and all(v.passed for v in verdicts):
            session.open.add(request.node.nodeid)
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)

    return judge
