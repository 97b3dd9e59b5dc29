"""pytest-benchmark as our store and table: all that we need of it, and all that it needs of us.

Its own loop knows of no device. A case is measured by the bench, and the durations are replayed to it by a timer, through its
public API. It saves the whole run under one key of its file.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mpcore.plugin.writable import UNWRITTEN, check_file, check_folder
from mpcore.records import AnyRecord, Parity, Quality, Race, Run, Speed

COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT")
CLOCK = pytest.StashKey["Clock"]()


class Clock:
    """A timer that replays durations measured elsewhere."""

    __name__ = "replayed"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def __call__(self) -> float:
        return next(self._readings)

    def replay(self, benchmark: Any, seconds: Sequence[float], iterations: int = 1) -> None:
        """`seconds` of rounds of `iterations` each."""
        self._readings = iter([reading for duration in seconds for reading in (0.0, duration)])
        benchmark.pedantic(lambda: None, rounds=len(seconds), iterations=iterations)


def mark(item: pytest.Item, group: str) -> None:
    """Gives a test of ours its clock. Of the marks for pytest-benchmark the closest alone counts: those that a test has are
    merged into one, with the clock in it."""
    own = [mark.kwargs for mark in reversed(list(item.iter_markers("benchmark")))]
    merged = {"group": group} | {name: value for kwargs in own for name, value in kwargs.items()}
    item.stash[CLOCK] = Clock()
    item.add_marker(pytest.mark.benchmark(**merged | {"timer": item.stash[CLOCK]}), append=False)


def replay(item: pytest.Item, benchmark: Any, record: AnyRecord) -> None:
    """Hands the durations of `record` to the fixture `benchmark` of its test."""
    benchmark.extra_info["mpcore"] = record.name
    if isinstance(record, Speed):
        rounds: tuple[Sequence[float], int] = record.blocks.seconds, record.blocks.steps
    elif isinstance(record, Parity):
        rounds = record.ours.seconds, record.ours.steps
    elif isinstance(record, Race) and record.fastest:
        rounds = record.fastest.ours.blocks.seconds, record.fastest.ours.blocks.steps
    elif isinstance(record, Quality):
        rounds = [training.train_seconds for training in record.trainings], 1
    else:
        rounds = [getattr(record, "seconds", 0.0)], 1
    item.stash[CLOCK].replay(benchmark, *rounds)


def timed(groups: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The groups of its table without tests of ours that have no time, such as those that count: it would show them as 0."""
    shown = [(name, [b for b in of if b["max"] or "mpcore" not in b["extra_info"]]) for name, of in groups]
    return [(name, of) for name, of in shown if of]


def store(output: dict[str, Any], run: Run) -> None:
    """The run goes into what pytest-benchmark is about to write."""
    output["mpcore"] = run.model_dump(mode="json")


def check_files(config: pytest.Config) -> None:
    """It writes once all is measured. Raises UsageError for what it could not write then."""
    from pytest_benchmark.storage.file import FileStorage

    benchmark = config.pluginmanager.get_plugin("pytest-benchmark")
    if benchmark is None:
        return
    if isinstance(benchmark.json, Path):  # before pytest-benchmark 5.3 it is an open file
        check_file(config.invocation_params.dir / benchmark.json, f"--benchmark-json {str(benchmark.json)!r}")
    if (benchmark.save or benchmark.autosave) and isinstance(benchmark.storage, FileStorage):
        asked = "--benchmark-save" if benchmark.save else "--benchmark-autosave"
        check_folder(benchmark.storage.path / benchmark.storage.default_machine_id, asked)


def commit_of(config: pytest.Config) -> str | None:
    """As pytest-benchmark finds it."""
    commit = config.hook.pytest_benchmark_generate_commit_info(config=config)
    config.hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit)
    found: str | None = commit["id"]
    return found


def name_commit(commit: dict[str, Any]) -> None:
    """Without a history, as in a shallow copy on a runner, the commit is what the CI says it is, or none."""
    if commit["id"] in ("unversioned", "unknown"):
        commit["id"] = next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), None)


def saved_files(config: pytest.Config) -> list[str]:
    """The files that pytest-benchmark wrote. It keeps the name that was asked for; its storage puts the next number before it,
    so that the last file is the one."""
    from pytest_benchmark.storage.file import FileStorage

    benchmark = config.pluginmanager.get_plugin("pytest-benchmark")
    if benchmark is None or not benchmark.benchmarks or UNWRITTEN in config.stash:
        return []
    stored: list[Path] = []
    if (benchmark.save or benchmark.autosave) and isinstance(benchmark.storage, FileStorage):
        stored = benchmark.storage.query("[0-9][0-9][0-9][0-9]_")[-1:]
    # a path since pytest-benchmark 5.3, an open file before it
    asked = benchmark.json
    named = [asked if isinstance(asked, (str, Path)) else asked.name] if asked else []
    here = config.invocation_params.dir.resolve()
    paths = [(here / path).resolve() for path in (*stored, *named)]
    return [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths]
