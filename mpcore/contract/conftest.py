"""A subject for each test: every selected workload in every selected mode."""

import itertools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mpcore.contract.harness import Subject, check_workload
from mpcore.data import DataError
from mpcore.execution import Compile
from mpcore.matrix import precisions_of, workloads_of
from mpcore.measure import CASE_ERRORS, Bench, one_sentence
from mpcore.plugin.session import session_of
from mpcore.precision import Inapplicable


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        selection = session_of(metafunc.config).options.selection
        pairs = list(itertools.product(workloads_of(selection), precisions_of(selection, on_request=True)))
        metafunc.parametrize("subject", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is wrong with a workload is said once, before the first test: all of them would fail for it."""
    here = [item for item in session.items if item.path.is_relative_to(Path(__file__).parent) and hasattr(item, "callspec")]
    chosen = [item.callspec.params["subject"] for item in here if "subject" in item.callspec.params]
    bench = session_of(session.config).bench if chosen else None
    if isinstance(bench, Bench) and not session.config.option.collectonly:
        for workload in dict.fromkeys(workload for workload, _ in chosen):
            try:
                check_workload(workload, bench)
            except (DataError, *CASE_ERRORS) as error:
                raise pytest.UsageError(one_sentence(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A mode that has nothing to do in a model, or no way to train it, is skipped with its sentence. One that fails is a
    sentence, too."""
    try:
        return (yield)
    except Inapplicable as reason:
        pytest.skip(str(reason))
    except CASE_ERRORS as error:
        pytest.fail(one_sentence(error), pytrace=False)


@pytest.fixture
def compiling(request: pytest.FixtureRequest) -> None:
    """Skipped unless it is asked for, since it takes tens of seconds each time, and where there is no compiler."""
    session = session_of(request.config)
    if Compile.name not in session.options.selection.executions:
        pytest.skip("to compile takes long: --mp-execution compile does it")
    if reason := Compile.unsupported(session.device):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def subjects() -> dict[tuple[str, str], Subject]:
    """Those that there are already, by workload and mode: each reads its data once."""
    return {}


@pytest.fixture(scope="session")
def known() -> dict[str, dict[str, Any]]:
    """By workload what all its modes share."""
    return {}


@pytest.fixture
def subject(
    request: pytest.FixtureRequest, subjects: dict[tuple[str, str], Subject], known: dict[str, dict[str, Any]]
) -> Subject:
    """Skipped where the device cannot run the mode."""
    workload, precision = request.param
    if request.param not in subjects:
        bench = session_of(request.config).bench
        if not isinstance(bench, Bench):
            pytest.skip("the contract is for a step on one GPU: expected no --mp-gpus")
        subjects[request.param] = Subject(workload, precision, bench, known.setdefault(workload, {}))
    return subjects[request.param]
