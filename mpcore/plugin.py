"""The pytest plugin: options, one case for each workload and mode, the bench, and pytest-benchmark as store and table.

Whoever has the package installed loads this file with every pytest, so it imports torch and the workloads only once a
test asks for a case.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("mpcore.contract")

if TYPE_CHECKING:
    from mpcore.measure import Bench
    from mpcore.records import AnyRecord, Case, Result, Size, Verdict

KINDS = {
    "speed": "times a training step of every case",
    "accuracy": "trains every case to the end of its recipe",
    "numerics": "compares a step of every case with FP64",
    "parity": "compares with other trainers; run on request, by -m parity or by its file",
}
COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT")
CASE_ID = re.compile(r"\[[\w.-]+-(eager|graph|compile)-(tiny|full)\]$")
PROGRESS_SECONDS = 10.0
DEFAULT_TARGET = 0.2


@dataclass
class Session:
    """What one pytest session knows of its cases."""

    bench: "Bench"
    size: "Size"
    results: "list[Result]" = field(default_factory=list)
    saved: list[dict[str, Any]] = field(default_factory=list)
    """For each result what pytest-benchmark will save with it."""
    ran: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, result: "Result", extra_info: dict[str, Any]) -> None:
        from mpcore.store import KEY

        self.results.append(result)
        self.saved.append(extra_info)
        extra_info[KEY] = result.model_dump(mode="json")

    def drifted(self, case: "Case") -> None:
        """Adds the drift of its references to all records of the case's workload."""
        from mpcore.records import Speed
        from mpcore.store import KEY

        same = [
            i
            for i, result in enumerate(self.results)
            if isinstance(result.record, Speed) and result.record.case.in_precision("") == case.in_precision("")
        ]
        drift = self.bench.drift(case) if same else {}
        for i in same:
            record = self.results[i].record.model_copy(update={"drift": drift})
            self.results[i] = self.results[i].model_copy(update={"record": record})
            self.saved[i][KEY] = self.results[i].model_dump(mode="json")


SESSION = pytest.StashKey[Session]()
REFUSED = pytest.StashKey[pytest.UsageError]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mpcore", "mixed-precision benchmarks")
    group.addoption("--mp-workload", metavar="NAMES", help="workloads, separated by commas (default: all)")
    group.addoption("--mp-precision", metavar="NAMES", help="precision modes, separated by commas (default: all)")
    group.addoption(
        "--mp-execution",
        metavar="NAMES",
        help="eager, graph, compile, separated by commas (default: graph on a GPU, eager on a CPU)",
    )
    group.addoption("--mp-size", choices=("tiny", "full"), help="size of the models (default: full on a GPU, tiny on a CPU)")
    group.addoption("--mp-device", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: cuda where there is one)")
    group.addoption(
        "--mp-data",
        metavar="SOURCE",
        help="embedded, hub, or a folder with <set>/train.parquet and <set>/test.parquet (default: $MPCORE_DATA or embedded)",
    )
    group.addoption(
        "--mp-checkpoint",
        metavar="WORKLOAD=WEIGHTS",
        action="append",
        default=[],
        help="fine-tune from a folder or a hub id instead of random weights; may be repeated",
    )
    group.addoption(
        "--mp-tolerance", metavar="POINTS", type=float, help="accuracy that a mode may lose (default: the workload's own)"
    )
    group.addoption(
        "--mp-precision-target",
        metavar="PERCENT",
        type=float,
        default=DEFAULT_TARGET,
        help="half-width of a ratio's 99 %% interval that timing goes on for, within a time limit (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for kind, meaning in KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    config.addinivalue_line("markers", "cuda: needs an NVIDIA GPU")
    config.addinivalue_line(
        "markers", "workloads(*names): what a test measures where no workload is named (default: all real ones)"
    )
    options = config.option.__dict__.items()
    if any(name.startswith("mp_") and value not in (None, [], DEFAULT_TARGET) for name, value in options):
        _session(config)  # a wrong option is said before anything is collected


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    try:
        session = _session(metafunc.config)
    except pytest.UsageError as error:  # raised here it would be an error of each file; `pytest_collection_modifyitems` does
        metafunc.config.stash[REFUSED] = error
        metafunc.parametrize("case", [])
        return
    kind = next((k for k in KINDS if metafunc.definition.get_closest_marker(k)), "other")
    own = metafunc.definition.get_closest_marker("workloads")
    parameters = [
        pytest.param(case, marks=_marks(kind, case, reason), id=case.id)
        for case, reason in _cases(metafunc.config, session, own.args if own else ())
    ]
    metafunc.parametrize("case", parameters, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if REFUSED in config.stash:
        raise config.stash[REFUSED]
    if "parity" in config.option.markexpr or any("parity" in str(argument) for argument in config.invocation_params.args):
        return
    others = [item for item in items if _case(item) and item.get_closest_marker("parity")]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Data and weights are loaded before the first test, so that what is wrong with them costs no training."""
    cases = [case for item in session.items if (case := _case(item))]
    if cases and not session.config.option.collectonly:
        import datasets
        from transformers.utils import logging as transformers_logging

        from mpcore.data import DataError

        datasets.disable_progress_bars()
        transformers_logging.disable_progress_bar()
        current = _session(session.config)
        try:
            current.bench.check(list(dict.fromkeys(case.workload for case in cases)), current.size)
        except DataError as error:
            raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Processes that share a device disturb each other's times, and pytest-benchmark saves nothing of theirs."""
    if any(CASE_ID.search(name) for name in ids):
        raise pytest.UsageError("benchmarks of mpcore cannot be spread over processes: run them without -n")


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    count = sum(_case(item) is not None for item in items)
    if not count:
        return []
    session = _session(config)
    from mpcore.hardware import probe

    hardware = probe(session.bench.device)
    weights = [f"{name} from {where}" for name, where in session.bench.checkpoints.items()]
    data = session.bench.source.where
    cases = f"{count} case" if count == 1 else f"{count} cases"
    return [
        f"mpcore: {cases} on {hardware.name} ({hardware.device}), size {session.size}, data {data}, "
        f"weights {', '.join(weights) or 'random'}"
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What can happen to a case is one sentence, and its memory is given back for the cases that follow: a traceback
    would hold every tensor of the frames that it names."""
    case = _case(item)
    if case is None:
        return (yield)
    from mpcore.measure import Failed, explained

    try:
        return (yield)
    except Failed as failed:
        sentence = f"{case.id}: {explained(failed)}"
    pytest.fail(sentence, pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last case of a workload its references are timed once more: how far did the machine drift?"""
    case, following = _case(item), _case(nextitem) if nextitem else None
    if case is None or not item.get_closest_marker("speed"):
        return
    if following is None or not nextitem.get_closest_marker("speed") or following.in_precision("") != case.in_precision(""):
        _session(item.config).drifted(case)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    if _case(item) is None:
        return
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    session = _session(item.config)
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        session.skipped[item.nodeid] = reason.removeprefix("Skipped: ")
    elif report.when == "call":
        session.ran.add(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which no case ran has shown nothing, and does not pass."""
    current = session.config.stash.get(SESSION, None)
    if current and not current.ran and not session.config.option.collectonly and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    current = config.stash.get(SESSION, None)
    if current is None or config.option.collectonly or exitstatus == pytest.ExitCode.USAGE_ERROR:
        return
    from mpcore.hardware import probe
    from mpcore.report.terminal import summary

    terminalreporter.section("mixed precision")
    text = summary(current.results, list(current.skipped.values()), probe(current.bench.device).name)
    terminalreporter.write_line(text)
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

        output_json[KEY] = {"command": " ".join(["pytest", *map(str, config.invocation_params.args)])}


def pytest_benchmark_update_commit_info(config: pytest.Config, commit_info: dict[str, Any]) -> None:
    """Without a history, as in a shallow copy on a runner, the commit is what the CI says it is, or none."""
    if commit_info["id"] in ("unversioned", "unknown"):
        commit_info["id"] = next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), None)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> "Case":
    """One workload in one mode. What is timed or trained is skipped where a CPU only emulates the mode's arithmetic."""
    case: Case = request.param
    timed = any(request.node.get_closest_marker(kind) for kind in ("speed", "accuracy", "parity"))
    if timed and (reason := _session(request.config).bench.emulated(case)):
        pytest.skip(reason)
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
    return _session(request.config).bench


@pytest.fixture
def judge(request: pytest.FixtureRequest, benchmark: Any) -> "Callable[[AnyRecord, Sequence[Verdict]], None]":
    """Hands a record to pytest-benchmark, which saves it, and fails the test where a verdict does."""
    clock = request.node.get_closest_marker("benchmark").kwargs["timer"]
    session = _session(request.config)

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
        failed = [v.sentence for v in verdicts if not v.passed]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)

    return judge


class Clock:
    """A timer for pytest-benchmark that replays durations measured elsewhere: its own loop knows of no device."""

    __name__ = "replayed"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def __call__(self) -> float:
        return next(self._readings)

    def replay(self, benchmark: Any, seconds: Sequence[float], iterations: int = 1) -> None:
        """`seconds` of rounds of `iterations` each."""
        self._readings = iter([reading for duration in seconds for reading in (0.0, duration)])
        benchmark.pedantic(lambda: None, rounds=len(seconds), iterations=iterations)


class ProgressLine:
    """The progress of one training: rewritten in place on a terminal, a line now and then elsewhere."""

    _last = time.monotonic()
    """When any of them wrote last: short trainings follow each other in silence."""

    def __init__(self, config: pytest.Config, title: str) -> None:
        self.title = title
        self.start = time.monotonic()
        self._reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")

    def __call__(self, done: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        if now - ProgressLine._last < (1.0 if self._reporter.isatty else PROGRESS_SECONDS):
            return
        ProgressLine._last = now
        left = (now - self.start) / done * (steps - done)
        line = f"  {self.title}: step {done} of {steps}, loss {loss:.3f}, {left:.0f} s left"
        with self._capture.global_and_fixture_disabled():
            if self._reporter.isatty:
                self._reporter.rewrite(line, erase=True)
            else:
                self._reporter.ensure_newline()
                self._reporter.write_line(line)


def _session(config: pytest.Config) -> Session:
    """Made at the first call. Raises UsageError for an option that names what is not there."""
    if SESSION in config.stash:
        return config.stash[SESSION]
    from mpcore.data import DataError, Source
    from mpcore.hardware import default_device
    from mpcore.measure import Bench
    from mpcore.registry import UnknownName, executions, precisions, workloads

    try:
        workloads.check(_names(config, "mp_workload"))
        precisions.check(_names(config, "mp_precision"))
        executions.check(_names(config, "mp_execution"))
        checkpoints = _checkpoints(config.getoption("mp_checkpoint"))
        workloads.check(checkpoints)
        source = Source(config.getoption("mp_data") or os.environ.get("MPCORE_DATA") or "embedded")
    except (UnknownName, DataError) as error:
        raise pytest.UsageError(str(error)) from error
    tolerance = config.getoption("mp_tolerance")
    if tolerance is not None and not 0 <= tolerance <= 100:
        raise pytest.UsageError(f"--mp-tolerance {tolerance}: expected points of the metric, 0 to 100")
    target = config.getoption("mp_precision_target")
    if not 0 < target <= 100:
        raise pytest.UsageError(f"--mp-precision-target {target}: expected per cent of the ratio, above 0 and at most 100")
    device = _device(config.getoption("mp_device")) if config.getoption("mp_device") else default_device()
    size: Size = config.getoption("mp_size") or ("full" if device.type == "cuda" else "tiny")

    def progress(title: str) -> ProgressLine:
        return ProgressLine(config, title)

    config.stash[SESSION] = Session(
        Bench(device, source, checkpoints, tolerance=tolerance, target=target / 100, progress=progress), size
    )
    return config.stash[SESSION]


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise pytest.UsageError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>") from error
    if device.type not in ("cpu", "cuda"):
        raise pytest.UsageError(f"--mp-device {name!r}: expected cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise pytest.UsageError(f"--mp-device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def _checkpoints(texts: Sequence[str]) -> dict[str, str]:
    """By workload."""
    checkpoints: dict[str, str] = {}
    for text in texts:
        workload, separator, weights = text.partition("=")
        if not (separator and workload and weights):
            raise pytest.UsageError(f"--mp-checkpoint {text!r}: expected WORKLOAD=WEIGHTS, such as bert-imdb=path/to/weights")
        if workload in checkpoints:
            raise pytest.UsageError(f"--mp-checkpoint {text!r}: {workload} has {checkpoints[workload]!r} already")
        checkpoints[workload] = weights
    return checkpoints


def _names(config: pytest.Config, option: str) -> list[str]:
    """The names given, none where the option is not. Raises UsageError for an option without a name in it."""
    text = config.getoption(option)
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise pytest.UsageError(f"--{option.replace('_', '-')} {text!r}: expected names separated by commas")
    return names


def _cases(config: pytest.Config, session: Session, own: Sequence[str]) -> "Iterator[tuple[Case, str | None]]":
    """Every selected case, with the reason if the device cannot run it. A test's `own` workloads are those that it may
    have; any other measures those that are named, or all that are not synthetic."""
    from mpcore.records import Case
    from mpcore.registry import executions, precisions, workloads

    device = session.bench.device
    named = _names(config, "mp_workload")
    real = [name for name in workloads.names() if not workloads[name].synthetic]
    names = (
        [name for name in own if not named or name in named] if own else named or real,
        _names(config, "mp_execution") or ["graph" if device.type == "cuda" else "eager"],
        _names(config, "mp_precision") or precisions.names(),
    )
    for workload, execution, precision in itertools.product(*names):
        case = Case(workload=workload, precision=precision, execution=execution, size=session.size)
        yield case, executions[execution].unsupported(device) or precisions[precision].unsupported(device)


def _marks(kind: str, case: "Case", reason: str | None) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.benchmark(timer=Clock(), group=f"{kind}: {case.workload} ({case.size}, {case.execution})")]
    return [*marks, pytest.mark.skip(reason=reason)] if reason else marks


def _case(item: pytest.Item) -> "Case | None":
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("case") if callspec else None
