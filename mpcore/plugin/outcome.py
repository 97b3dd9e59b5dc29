"""What a session came to, and the files that it was saved in."""

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mpcore.plugin.baseline import gone
from mpcore.plugin.options import selection_of

if TYPE_CHECKING:
    from mpcore.plugin.session import Session
    from mpcore.records import Run
    from mpcore.report.outcome import Outcome


def outcome_of(config: pytest.Config, session: "Session") -> "Outcome":
    from mpcore.report.outcome import Outcome

    saved, baseline = saved_by(config), session.baseline
    ran = session.ran | session.failed.keys()
    return Outcome(
        run=_run(config, session, saved),
        selection=selection_of(config),
        ran=len(ran),
        missed=len(session.missed),
        skipped=tuple(session.skipped.values()),
        saved=saved,
        accepted=baseline.runs if baseline else (),
        folder=baseline.folder if baseline else "",
        common=baseline.common() if baseline else None,
        gone=gone(config, session, baseline.runs) if baseline else (),
        strict=config.option.mp_strict,
    )


def command_of(config: pytest.Config) -> str:
    """As it could be typed again."""
    return shlex.join(["pytest", *map(str, config.invocation_params.args)])


def saved_by(config: pytest.Config) -> list[str]:
    """The files that pytest-benchmark wrote. It keeps the name that was asked for; its storage puts the next number before it,
    so that the last file is the one."""
    from pytest_benchmark.storage.file import FileStorage

    benchmark = config.pluginmanager.get_plugin("pytest-benchmark")
    if benchmark is None or not benchmark.benchmarks:
        return []
    stored = []
    if (benchmark.save or benchmark.autosave) and isinstance(benchmark.storage, FileStorage):
        stored = benchmark.storage.query("[0-9][0-9][0-9][0-9]_")[-1:]
    # a path since pytest-benchmark 5.3, an open file before it
    named = [getattr(benchmark.json, "name", benchmark.json)] if benchmark.json else []
    here = config.invocation_params.dir.resolve()
    paths = [(here / path).resolve() for path in (*stored, *named)]
    return [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths]


def _run(config: pytest.Config, session: "Session", saved: list[str]) -> "Run":
    from mpcore.hardware import probe, software
    from mpcore.records import FailedTest, Machine, Run

    commit = config.hook.pytest_benchmark_generate_commit_info(config=config)
    config.hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit)
    return Run(
        path=saved[0] if saved else "",
        command=command_of(config),
        datetime=datetime.now(UTC).isoformat(),
        commit=commit["id"],
        machine=Machine(hardware=probe(session.bench.device), software=software()),
        results=tuple(session.results),
        failed=tuple(FailedTest(test=test, sentence=sentence) for test, sentence in session.failed.items()),
    )
