"""The pytest plugin: one case for each workload and mode, the bench, and pytest-benchmark as store and table.

Whoever has the package installed loads this with every pytest, so it imports torch and the workloads only once a test
asks for a case.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mpcore.plugin.baseline import add_options as baseline_options
from mpcore.plugin.baseline import baseline_of, lost
from mpcore.plugin.items import FIXTURES, KINDS, case_of, kind_of, marks, merge_marks, own_parameter
from mpcore.plugin.markdown import add_options as markdown_options
from mpcore.plugin.markdown import check_markdown, write_markdown
from mpcore.plugin.options import add_options, cases, given, session_of
from mpcore.plugin.outcome import command_of, outcome_of
from mpcore.plugin.session import SESSION, Session

pytest.register_assert_rewrite("mpcore.contract")
pytest_plugins = [FIXTURES]

COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT")
CASE_ID = re.compile(r"\[[\w.-]+-(eager|graph|compile)-(tiny|full)\b.*\]$")

WORDS = 2000
"""Characters of a failure that are kept."""
REFUSED = pytest.StashKey[pytest.UsageError]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)
    baseline_options(parser.getgroup("mpcore"))
    markdown_options(parser.getgroup("mpcore"))


def pytest_configure(config: pytest.Config) -> None:
    for kind, meaning in KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    config.addinivalue_line("markers", "cuda: needs an NVIDIA GPU")
    config.addinivalue_line(
        "markers", "workloads(*names): what a test measures where no workload is named (default: all real ones)"
    )
    if given(config):
        session_of(config)  # a wrong option is said before anything is collected


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames or own_parameter(metafunc, "case"):
        return
    try:
        session = session_of(metafunc.config)
    except pytest.UsageError as error:  # raised here it would be an error of each file; `pytest_collection_modifyitems` does
        metafunc.config.stash[REFUSED] = error
        metafunc.parametrize("case", [])
        return
    kind = kind_of(metafunc.definition)
    own = metafunc.definition.get_closest_marker("workloads")
    parameters = [
        pytest.param(case, marks=marks(kind, case, reason), id=case.id)
        for case, reason in cases(metafunc.config, session, own.args if own else ())
    ]
    metafunc.parametrize("case", parameters, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if REFUSED in config.stash:
        raise config.stash[REFUSED]
    files = [Path(argument.split("::")[0]).name for argument in config.args]
    if any("parity" in text for text in (config.option.markexpr, config.option.keyword, *files)):
        return
    cases = [item for item in items if "case" in getattr(item, "fixturenames", ())]
    for item in cases:
        merge_marks(item)
    others = [item for item in cases if item.get_closest_marker("parity")]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Data and weights are loaded before the first test, so that what is wrong with them costs no training; and
    accepted runs before the header, which tells of margins that are for nothing."""
    found = {item.nodeid: (kind_of(item), case) for item in session.items if (case := case_of(item))}
    cases = [case for _, case in found.values()]
    if cases:
        session_of(session.config).collected = found
    if cases and not session.config.option.collectonly:
        import datasets
        from transformers.utils import logging as transformers_logging

        from mpcore.data import DataError
        from mpcore.workloads import WorkloadError

        check_markdown(session.config)
        datasets.disable_progress_bars()
        transformers_logging.disable_progress_bar()
        current = session_of(session.config)
        try:
            current.bench.check(cases)
        except (DataError, WorkloadError) as error:
            raise pytest.UsageError(str(error)) from error
        current.baseline = baseline_of(session.config, current.bench)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Processes that share a device disturb each other's times, and pytest-benchmark saves nothing of theirs."""
    if any(CASE_ID.search(name) for name in ids):
        raise pytest.UsageError("benchmarks of mpcore cannot be spread over processes: run them without -n")


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    count = sum(case_of(item) is not None for item in items)
    if not count:
        return []
    session = session_of(config)
    from mpcore.hardware import probe

    hardware = probe(session.bench.device)
    weights = [f"{name} from {where}" for name, where in session.bench.checkpoints.items()]
    data = session.bench.source.where
    idle = session.baseline.idle if session.baseline else []  # it is there unless cases are only collected
    cases = f"{count} case" if count == 1 else f"{count} cases"
    return [
        f"mpcore: {cases} on {hardware.name} ({hardware.device}), size {session.size}, data {data}, "
        f"weights {', '.join(weights) or 'random'}",
        *(f"mpcore: a margin is for {pattern!r}, and no case has such a name" for pattern in idle),
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What can happen to a case is one sentence, and its memory is given back for the cases that follow: a traceback
    would hold every tensor of the frames that it names."""
    case = case_of(item)
    if case is None:
        return (yield)
    from mpcore.measure import Failed, explained
    from mpcore.precision import Inapplicable

    try:
        return (yield)
    except Inapplicable as reason:
        pytest.skip(f"{case.workload}: {reason}")
    except Failed as failed:
        sentence = f"{case.id}: {explained(failed)}"
    pytest.fail(sentence, pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last case of a workload its references are timed once more: how far did the machine drift?"""
    case, following = (case_of(i) if i and i.get_closest_marker("speed") else None for i in (item, nextitem))
    if case and (following is None or following.in_precision("") != case.in_precision("")):
        session_of(item.config).drifted(case)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    if case_of(item) is None:
        return
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    session = session_of(item.config)
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        session.skipped[item.nodeid] = reason.removeprefix("Skipped: ")
    elif report.failed:
        session.failed[item.nodeid] = _sentence(report, call)
        if report.when == "teardown":  # whatever the test itself had failed for
            session.open.discard(item.nodeid)
    if report.when == "call" and not report.skipped:
        session.ran.add(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which no case ran has shown nothing, and does not pass."""
    current = _finished(session.config, exitstatus)
    if current is None:
        return
    if exitstatus == pytest.ExitCode.OK:
        if not current.ran:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        if current.baseline and lost(session.config, current, current.baseline):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    write_markdown(session.config, current)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    current = _finished(config, exitstatus)
    if current is None:
        return
    from mpcore.report.colour import coloured
    from mpcore.report.terminal import terminal

    terminalreporter.section("mixed precision")
    text = terminal(outcome_of(config, current))
    terminalreporter.write_line(coloured(text) if terminalreporter.hasmarkup else text)
    if not current.ran and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        terminalreporter.write_line("mpcore: no case was run, which is not a pass", red=True)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    current = config.stash.get(SESSION, None)
    if current is None:
        return
    from mpcore.hardware import probe, software
    from mpcore.records import Machine
    from mpcore.store import KEY

    machine = Machine(hardware=probe(current.bench.device), software=software())
    machine_info[KEY] = machine.model_dump(mode="json")


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """The command line, which would make two machines of one if it stood among what describes the machine."""
    if SESSION in config.stash:
        from mpcore.store import KEY

        current = config.stash[SESSION]
        failed = {test: sentence for test, sentence in current.failed.items() if test not in current.open}
        common = current.baseline.common() if current.baseline else None
        if common and not common.passed:  # no test of its own fails for it
            failed[common.case] = common.sentence
        output_json[KEY] = {
            "command": command_of(config),
            "failed": [{"test": test, "sentence": sentence} for test, sentence in failed.items()],
            "missed": len(current.missed),
        }


def pytest_benchmark_update_commit_info(config: pytest.Config, commit_info: dict[str, Any]) -> None:
    """Without a history, as in a shallow copy on a runner, the commit is what the CI says it is, or none."""
    if commit_info["id"] in ("unversioned", "unknown"):
        commit_info["id"] = next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), None)


def _finished(config: pytest.Config, exitstatus: int) -> Session | None:
    """None where there is nothing to tell: without cases, where they were only collected, and where they were refused."""
    current = config.stash.get(SESSION, None)
    if current is None or not current.collected or config.option.collectonly or exitstatus == pytest.ExitCode.USAGE_ERROR:
        return None
    return current


def _sentence(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Why a test failed: what it says itself, or what was raised and where."""
    from mpcore.cause import cause

    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, pytest.fail.Exception):
        return " ".join(str(error).split())[-WORDS:]
    if error is None:
        return " ".join(report.longreprtext.split())[-WORDS:]
    return f"{report.nodeid.split('::')[-1]}: {' '.join(cause(error).split())}"[:WORDS]
