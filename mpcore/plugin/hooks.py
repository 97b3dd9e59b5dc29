"""What pytest calls. Each hook hands on to what knows: the cases, the session, pytest-benchmark's adapter."""

import itertools
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mpcore.plugin import alone, job_page, minutes, pytest_benchmark
from mpcore.plugin.case_test import CaseTest
from mpcore.plugin.cases import KINDS, case_of, group_of, is_compiled, kind_of, own_parameter, parameters, trainer_of
from mpcore.plugin.ending import INTERRUPTED, ShownWhateverHappens, finished
from mpcore.plugin.failures import JudgedFailure, sentence_of
from mpcore.plugin.options import add_options, given
from mpcore.plugin.outcome import outcome_of
from mpcore.plugin.session import SESSION, Session, session_of
from mpcore.plugin.writable import UNWRITTEN

if TYPE_CHECKING:
    from mpcore.records import Selection

CASE_ID = re.compile(r"\[[\w.-]+-(eager|graph|compile|inductor|reduce-overhead)-(tiny|full|fit)\b.*\]$")
REFUSED = pytest.StashKey[pytest.UsageError]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    for kind, meaning in KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    config.addinivalue_line("markers", "cuda: needs an NVIDIA GPU")
    config.addinivalue_line(
        "markers", "workloads(*names): what a test measures where no workload is named (default: all real ones)"
    )
    config.addinivalue_line("markers", "precisions(*names): the same of modes (default: all that are not on request)")
    config.pluginmanager.register(ShownWhateverHappens())
    if given(config):
        session_of(config)  # a wrong option is said before anything is collected


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames or own_parameter(metafunc, "case"):
        return
    try:
        found = list(parameters(metafunc.definition, session_of(metafunc.config)))
    except pytest.UsageError as error:  # raised here it would be an error of each file; `pytest_collection_modifyitems` does
        metafunc.config.stash[REFUSED] = error
        metafunc.parametrize("case", [])
        return
    metafunc.parametrize("case", found, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    case = case_of(item)
    if case is not None:
        pytest_benchmark.mark(item, group_of(kind_of(item), case))
        if item.config.pluginmanager.hasplugin("warnings"):  # else nobody knows the marker
            # by a test that fails before it is timed
            item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what other options chose. Other trainers are compared with on request: by a marker or a word with "parity" or "race"
    in it, or by the file. Ranks are compared where a case has some. What is compiled is measured last: a graph that is captured
    where something was compiled before may hold 3 % more memory."""
    if REFUSED in config.stash:
        raise config.stash[REFUSED]
    files = [Path(argument.split("::")[0]).name for argument in config.args]
    texts = (config.option.markexpr, config.option.keyword, *files)
    asked = any(word in text for text in texts for word in ("parity", "race"))
    tests = [item for item in items if "case" in getattr(item, "fixturenames", ())]
    others = [item for item in tests if kind_of(item) in ("race", "parity") and not asked]
    others += [item for item in tests if kind_of(item) == "parallel" and case_of(item) is None]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    items.sort(key=is_compiled)
    if config.option.mp_minutes is not None and tests:
        minutes.leave_out(config, session_of(config), items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """What is wrong with data, weights or accepted runs is said before the first test, so that it costs no training."""
    cases = {item: case for item in session.items if (case := case_of(item)) is not None}
    tests = {item.nodeid: CaseTest(kind_of(item), case, trainer_of(item)) for item, case in cases.items()}
    if tests and not session.config.option.collectonly:
        job_page.check_files(session.config)
        pytest_benchmark.check_files(session.config)
        session_of(session.config).start(tests)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Processes that share a device disturb each other's times, and pytest-benchmark saves nothing of theirs."""
    if any(CASE_ID.search(name) for name in ids):
        raise pytest.UsageError("benchmarks of mpcore cannot be spread over processes: run them without -n")


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    count = sum(case_of(item) is not None for item in items)
    if not count:
        return []
    from mpcore.matrix import possible
    from mpcore.records import ALL_CASES

    session = session_of(config)
    hardware = session.machine.hardware
    weights = [f"{name} from {where}" for name, where in session.bench.checkpoints.items()]
    unused = session.options.policy.unused_patterns(itertools.chain([ALL_CASES], possible()))
    return [
        f"mpcore: {count} case{'' if count == 1 else 's'} on {hardware.name} ({hardware.device}), size {session.size}, "
        f"data {session.bench.source.where}, weights {', '.join(weights) or 'random'}",
        *([f"mpcore: {narrowed}"] if (narrowed := _narrowed(session.options.selection)) else []),
        *(f"mpcore: a margin is for {pattern!r}, and no case has such a name" for pattern in unused),
        *(f"mpcore: {line}" for line in ([] if config.option.collectonly else session.forewarned())),
        *([f"mpcore: {config.stash[minutes.CHOSEN]}"] if minutes.CHOSEN in config.stash else []),
    ]


def _narrowed(selection: "Selection") -> str | None:
    """That workloads were left out which nobody has named, or None."""
    from mpcore.matrix import alone

    own = alone(selection)
    return f"of --mp-load alone: {', '.join(own)}; --mp-workload all measures all" if own else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What can happen to a case is one sentence, and its memory is given back for the cases that follow. A traceback would hold
    every tensor of the frames that it names."""
    case = case_of(item)
    if case is None:
        return (yield)
    from mpcore.measure import CASE_ERRORS, CaseFailed, TooLarge, failure_of
    from mpcore.precision import Inapplicable
    from mpcore.records import Failure

    session = session_of(item.config)
    try:
        return (yield)
    except Inapplicable as reason:
        failure = Failure(case=case, sentence=str(reason), skipped=True, large=isinstance(reason, TooLarge))
    except CaseFailed as error:  # another process has looked at its memory
        failure = Failure(case=case, sentence=str(error))
    except CASE_ERRORS as error:
        failure = failure_of(case, error, session.device)
    if failure.large and session.had_memory(item.nodeid):
        pytest.fail(f"{case.id}: {failure.sentence}; an accepted run had memory for it", pytrace=False)
    if failure.skipped:
        pytest.skip(f"{case.id if failure.large else case.subject}: {failure.sentence}")
    pytest.fail(f"{case.id}: {failure.sentence}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last case of a workload its references are timed once more: how far did the machine drift?"""
    case, following = (case_of(i) if i and kind_of(i) == "speed" else None for i in (item, nextitem))
    if case and (following is None or following.in_precision("") != case.in_precision("")):
        session_of(item.config).measure_drift(case)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    case = case_of(item)
    if case is None:
        return
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    session = session_of(item.config)
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        session.skipped[item.nodeid] = reason.removeprefix("Skipped: ")
    elif report.failed:
        command = alone.command(item, case, session)
        report.sections.append((alone.TITLE, command))
        error = call.excinfo.value if call.excinfo else None
        result = error.result if isinstance(error, JudgedFailure) else None
        session.failed(item.nodeid, sentence_of(report, call), result, command)
        _stop_without_a_device(item, session)
    if report.when == "call" and not report.skipped:
        session.ran.add(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which no case ran has shown nothing, and does not pass."""
    current = finished(session.config, exitstatus)
    if current is None:
        return
    if exitstatus == pytest.ExitCode.OK:
        if not current.ran:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        if outcome_of(session.config).run.failed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if job_page.wanted(session.config):
        from mpcore.report.documents import job_document
        from mpcore.report.render import render

        job_page.write(session.config, render(job_document(outcome_of(session.config).summary), "markdown"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    current = finished(config, exitstatus)
    if current is None:
        return
    from mpcore.report.documents import session_document
    from mpcore.report.render import render

    terminalreporter.section("mixed precision")
    terminalreporter.write_line(
        render(session_document(outcome_of(config).summary), "terminal", colour=terminalreporter.hasmarkup)
    )
    if not current.ran and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        terminalreporter.write_line("mpcore: no case was run, which is not a pass", red=True)
    for key in (UNWRITTEN, INTERRUPTED):
        if key in config.stash:
            terminalreporter.write_line(f"mpcore: {config.stash[key]}", red=True)
    if current.missed:
        terminalreporter.write_line(f"mpcore: {outcome_of(config).summary.headline}", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SESSION in config.stash:
        config.stash[SESSION].close()


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_benchmark_group_stats() -> Generator[None, Any, Any]:
    return pytest_benchmark.timed((yield))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """For pytest-benchmark's own comparison: another GPU is another machine."""
    if SESSION in config.stash:
        machine_info["mpcore"] = config.stash[SESSION].machine.hardware.key


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    if SESSION in config.stash and config.stash[SESSION].tests:
        pytest_benchmark.store(output_json, outcome_of(config).run)


def pytest_benchmark_update_commit_info(config: pytest.Config, commit_info: dict[str, Any]) -> None:
    pytest_benchmark.name_commit(commit_info)


def _stop_without_a_device(item: pytest.Item, session: Session) -> None:
    """Or each case that follows would fail for what happened in this one."""
    from mpcore.device.machine import lost
    from mpcore.measure import Bench

    in_this_process = isinstance(session.bench, Bench)
    if in_this_process and not session.lost and lost(session.device):
        session.lost = True
        item.session.shouldstop = f"the GPU is lost to this process since {item.name} failed"
