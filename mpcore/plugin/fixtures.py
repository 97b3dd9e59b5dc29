"""What a test of a case asks for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin import pytest_benchmark
from mpcore.plugin.cases import kind_of
from mpcore.plugin.options import trained
from mpcore.plugin.session import session_of

if TYPE_CHECKING:
    from mpcore.measure import Bench
    from mpcore.parallel.bench import LaunchedBench
    from mpcore.records import AnyRecord, Case


@pytest.fixture
def case(request: pytest.FixtureRequest) -> "Case":
    """One workload in one mode. What is timed or trained is skipped where a CPU only emulates the mode's arithmetic."""
    from mpcore.measure import CASE_ERRORS, one_sentence
    from mpcore.precision import Inapplicable
    from mpcore.workloads import workloads

    case: Case = request.param
    kind, session = kind_of(request.node), session_of(request.config)
    if kind == "accuracy":
        if workloads[case.workload].synthetic:
            pytest.skip(f"the inputs of {case.workload} are random: there is nothing to be accurate about")
        if not trained(session.options, case.workload):
            pytest.skip(f"{case.workload} is trained on request: --mp-accuracy {case.workload}, or all")
    if kind not in ("speed", "accuracy", "race", "parity"):
        return case
    try:
        skip, why = True, session.bench.emulated(case)
    except Inapplicable as inapplicable:
        skip, why = True, f"{case.subject}: {inapplicable}"
    except CASE_ERRORS as error:
        skip, why = False, f"{case.id}: {one_sentence(error)}"
    if why:  # outside of the handlers, or what they handle would be shown, too
        pytest.skip(why) if skip else pytest.fail(why, pytrace=False)
    return case


@pytest.fixture
def trainer(request: pytest.FixtureRequest, case: "Case") -> Any:
    """Another trainer than the case's, by its name; skipped where it is not installed or has no such mode."""
    from mpcore.trainers import trainers

    trainer = trainers[request.param]
    if request.param == case.trainer:
        pytest.skip(f"{trainer.called()} is not compared with itself")
    if reason := trainer.unsupported(case.precision, "eager", session_of(request.config).device, case.strategy):
        pytest.skip(reason)
    return trainer


@pytest.fixture
def executions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Those that `--mp-execution` names, none where it does not."""
    return session_of(request.config).options.selection.executions


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> "Bench | LaunchedBench":
    """Measures cases on the device that was chosen."""
    return session_of(request.config).bench


@pytest.fixture
def judge(request: pytest.FixtureRequest, benchmark: Any) -> "Callable[[AnyRecord], None]":
    """Judges a record, hands it to pytest-benchmark, and fails the test where the gate says so."""
    from mpcore.measure import Counter

    session = session_of(request.config)
    counter = Counter(session.device_here)

    def judge(record: "AnyRecord") -> None:
        result = session.judge_record(request.node.nodeid, record, counter.cost)
        pytest_benchmark.replay(request.node, benchmark, record)
        session.fail(result)

    return judge
