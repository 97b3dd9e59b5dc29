"""The options of the command line, and of the project's settings, checked."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpcore import selection
from mpcore.selection import ALL, SelectionError

if TYPE_CHECKING:
    from mpcore.gate import Policy
    from mpcore.records import Selection

MOST_SEEDS = 1000
SETTINGS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files that pytest may read settings from."""
OURS = re.compile(r"^\s*(mp_load\s*=|\[tool\.mpcore)", re.MULTILINE)
"""Where one of them has settings for us."""
JOB_PAGE = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names the page of a job."""


@dataclass(frozen=True)
class Options:
    """What a session is asked for.

    accuracy: workloads that are trained to the end; () for those that do so by default. tolerance_points: accuracy that a mode
    may lose. target: half-width of an interval, as a share. seeds: trainings of a mode. These three are None for the default.
    minutes: that the tests may take together, None for any. label: of the machine.
    baselines: the folder of the accepted runs. base: the revision that a change is to go into, "" for none.
    """

    selection: "Selection"
    accuracy: tuple[str, ...]
    checkpoints: dict[str, str]
    tolerance_points: float | None
    target: float | None
    seeds: int | None
    policy: "Policy"
    baselines: Path
    strict: bool
    minutes: float | None
    label: str | None
    base: str = ""


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mpcore", "mixed-precision benchmarks")
    selection.add_options(group.addoption)
    parser.addini(
        "mp_load", type="paths", help="Python files that register workloads, modes, trainers or strategies of your own"
    )
    group.addoption(
        "--mp-accuracy",
        metavar="NAMES",
        help="workloads that are trained to the end, separated by commas, or all (default: all but those that take long)",
    )
    seeds = "trainings of each mode, from the seeds 0 to N - 1 (default: 3, and up to 9 while these decide nothing)"
    group.addoption("--mp-seeds", metavar="N", type=int, help=seeds)
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
        help="half-width of a ratio's 99 %% interval that timing goes on for, within a time limit (default: 0.2)",
    )
    group.addoption("--mp-baselines", metavar="DIR", help="where accepted runs are (default: baselines in the root directory)")
    group.addoption(
        "--mp-base",
        metavar="REVISION",
        help="what a change is to go into, such as origin/main: what got slower there already is no fault of the change",
    )
    selection.add_margin_option(group.addoption)
    selection.add_compile_cache_option(group.addoption)
    selection.add_minutes_option(group.addoption)
    selection.add_label_option(group.addoption)
    group.addoption(
        "--mp-strict", action="store_true", help="what is undecided, changed, new or gone against accepted runs fails, too"
    )
    group.addoption(
        "--mp-markdown",
        metavar="FILE",
        help=f"write what the session came to there, as markdown; where ${JOB_PAGE} names a file, it is added to that, too",
    )


def given(config: pytest.Config) -> bool:
    """Whether any of the options is given."""
    values = (value for name, value in vars(config.option).items() if name.startswith("mp_"))
    return any(value not in (None, [], False) for value in values)


def options_of(config: pytest.Config) -> Options:
    """Raises UsageError for a value that was not expected; whether names are registered is not looked at."""
    from mpcore.gate import PolicyError, load_policy

    try:
        check_settings(config)
        selection.use_compile_cache(config.option)
        return Options(
            selection=selection.selection_of(config.option).model_copy(update={"load": _files(config)}),
            accuracy=tuple(selection.names(config.option, "mp_accuracy")),
            checkpoints=_checkpoints(config.getoption("mp_checkpoint")),
            tolerance_points=_tolerance(config.getoption("mp_tolerance")),
            target=_target(config.getoption("mp_precision_target")),
            seeds=_seeds(config.getoption("mp_seeds")),
            policy=load_policy(config.rootpath / "pyproject.toml", config.getoption("mp_margin")),
            baselines=_baselines(config),
            strict=config.option.mp_strict,
            minutes=selection.minutes_of(config.option),
            label=selection.label_of(config.option),
            base=config.getoption("mp_base") or "",
        )
    except (SelectionError, PolicyError) as error:
        raise pytest.UsageError(str(error)) from error


def check_settings(config: pytest.Config) -> None:
    """Raises SelectionError where pytest misses settings of ours in the folder that it was started in. Before it knows our
    options it takes a path after one for a path of tests. It looks for settings there."""
    here = config.invocation_params.dir
    files = [here / name for name in SETTINGS if (here / name).is_file()]
    if config.inipath is not None or not any(OURS.search(file.read_text(errors="replace")) for file in files):
        return
    given = [str(each) for each in config.invocation_params.args]
    for option, value in itertools.pairwise(given):
        if option.startswith("--mp-") and "=" not in option and not value.startswith("-") and (here / value).exists():
            looks = f"{option} {value}: pytest looks for its settings there, and not in {here}"
            raise SelectionError(f"{looks}: expected {option}={value}")


def trained(options: Options, workload: str) -> bool:
    """Whether `workload` is to be trained to the end of its recipe."""
    from mpcore.workloads import workloads

    if options.accuracy:
        return ALL in options.accuracy or workload in options.accuracy
    return not workloads[workload].long_training


def _files(config: pytest.Config) -> tuple[str, ...]:
    """Of a user's own workloads, modes and trainers, each once."""
    on_command_line = [config.invocation_params.dir / path for path in config.getoption("mp_load")]
    return tuple(dict.fromkeys(str(Path(p).resolve()) for p in [*config.getini("mp_load"), *on_command_line]))


def _checkpoints(texts: Sequence[str]) -> dict[str, str]:
    """By workload."""
    checkpoints: dict[str, str] = {}
    for text in texts:
        workload, separator, weights = text.partition("=")
        if not (separator and workload and weights):
            raise SelectionError(f"--mp-checkpoint {text!r}: expected WORKLOAD=WEIGHTS, such as bert-imdb=path/to/weights")
        if workload in checkpoints:
            raise SelectionError(f"--mp-checkpoint {text!r}: {workload} has {checkpoints[workload]!r} already")
        checkpoints[workload] = weights
    return checkpoints


def _tolerance(points: float | None) -> float | None:
    if points is not None and not 0 <= points <= 100:
        raise SelectionError(f"--mp-tolerance {points}: expected points of the metric, 0 to 100")
    return points


def _target(percent: float | None) -> float | None:
    """As a share."""
    if percent is not None and not 0 < percent <= 100:
        raise SelectionError(f"--mp-precision-target {percent}: expected per cent of the ratio, above 0 and at most 100")
    return None if percent is None else percent / 100


def _seeds(count: int | None) -> int | None:
    if count is not None and not 1 <= count <= MOST_SEEDS:
        raise SelectionError(f"--mp-seeds {count}: expected a number of trainings from 1 to {MOST_SEEDS}")
    return count


def _baselines(config: pytest.Config) -> Path:
    from mpcore.store import RunError, check_folder

    given = config.getoption("mp_baselines")
    if not given:
        return config.rootpath / "baselines"
    folder = config.invocation_params.dir / given
    if not folder.is_dir():
        raise SelectionError(f"--mp-baselines {given!r}: expected a folder, such as one that python -m mpcore accept made")
    try:
        check_folder(folder)
    except RunError as error:
        raise SelectionError(f"--mp-baselines {given!r}: {error}") from error
    return folder
