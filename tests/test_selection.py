"""One way to name what is measured, for pytest and for other commands."""

import argparse
import subprocess
import sys

import pytest

from mpcore.records import Selection
from mpcore.selection import OPTIONS, SelectionError, add_options, selection_of


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument)
    return selection_of(parser.parse_args(arguments))


def test_nothing_named_is_the_default():
    assert parsed() == Selection()


def test_each_option_names_something():
    named = parsed(
        "--mp-workload", "bert-imdb, unet-membrane,bert-imdb", "--mp-precision", "fp32,all", "--mp-execution", "graph",
        "--mp-trainer", "plain, mine", "--mp-size", "full", "--mp-batch", "64,256", "--mp-device", "cuda:1", "--mp-data", "hub",
        "--mp-keep-fp32", "head,*.router", "--mp-load", "a.py", "--mp-load", "b.py",
    )  # fmt: skip
    assert named == Selection(
        workloads=("bert-imdb", "unet-membrane"),
        precisions=("fp32", "all"),
        trainers=("plain", "mine"),
        executions=("graph",),
        size="full",
        batch_sizes=(64, 256),
        device="cuda:1",
        data="hub",
        keep_fp32=("head", "*.router"),
        load=("a.py", "b.py"),
    )


def test_pytest_has_the_same_options(pytester):
    shown = pytester.runpytest_subprocess("-p", "mpcore.plugin", "--help").stdout.str()
    assert all(f"{option}=" in shown for option in OPTIONS)


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("--mp-workload", " , ", "--mp-workload ' , ': expected names separated by commas"),
        ("--mp-batch", "0", "--mp-batch '0': expected sizes of a batch, such as 64,256"),
        ("--mp-batch", "1e3", "--mp-batch '1e3': expected sizes of a batch, such as 64,256"),
    ],
)
def test_a_name_that_is_none_is_told(option, text, sentence):
    with pytest.raises(SelectionError) as refused:
        parsed(option, text)
    assert str(refused.value) == sentence


def test_help_names_the_modes_that_are_measured_by_default():
    from mpcore.precision import precisions

    default = [name for name in precisions.names() if not precisions[name].on_request]
    assert f"(default: {', '.join(default)} and your own)" in OPTIONS["--mp-precision"]["help"]


def test_help_names_the_trainers():
    from mpcore.trainers import trainers

    assert f": {', '.join(trainers.names())} or your own" in OPTIONS["--mp-trainer"]["help"]


def test_help_names_the_executions():
    from mpcore.execution import executions

    assert OPTIONS["--mp-execution"]["help"].startswith(", ".join(executions.names()))


@pytest.mark.parametrize(
    "module", ["selection", "project", "loading", "matrix", "runner", "ab", "commands", "calibrate.measured"]
)
def test_it_needs_no_torch(module):
    code = f"import sys, mpcore.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
