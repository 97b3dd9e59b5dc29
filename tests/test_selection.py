"""One way to name what is measured, for pytest and for other commands."""

import argparse
import subprocess
import sys

import pytest
import torch

from mpcore.records import Selection
from mpcore.selection import OPTIONS, SelectionError, add_options, cases, check, known, selection_of

CPU = torch.device("cpu")


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument)
    return selection_of(parser.parse_args(arguments))


def test_nothing_named_is_the_default():
    assert parsed() == Selection()


def test_each_option_names_something():
    named = parsed(
        "--mp-workload", "bert-imdb, unet-membrane,bert-imdb", "--mp-precision", "fp32,all", "--mp-execution", "graph",
        "--mp-size", "full", "--mp-batch", "64,256", "--mp-device", "cuda:1", "--mp-data", "hub",
        "--mp-load", "a.py", "--mp-load", "b.py",
    )  # fmt: skip
    assert named == Selection(
        workloads=("bert-imdb", "unet-membrane"),
        precisions=("fp32", "all"),
        executions=("graph",),
        size="full",
        batch_sizes=(64, 256),
        device="cuda:1",
        data="hub",
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


def test_a_name_that_nothing_is_registered_under_is_refused_or_left_out():
    selection = Selection(workloads=("bert-imdb", "bert"), precisions=("all",), load=("nowhere.py",))
    there, unknown = known(selection)
    assert (there.workloads, there.precisions) == (("bert-imdb",), ("all",))
    assert list(unknown) == ["load nowhere.py", "workloads bert"]
    assert unknown["workloads bert"].startswith("unknown workload 'bert'; ")
    assert "nowhere.py': there is no such file; expected a Python file" in unknown["load nowhere.py"]
    with pytest.raises(SelectionError, match="nowhere"):
        check(selection)


def test_nothing_is_left_of_a_selection_of_which_nothing_is_there():
    """And not everything."""
    assert known(Selection(workloads=("bert",)))[0] is None


def test_cases_are_all_combinations_with_the_reason_where_one_cannot_run():
    selection = Selection(workloads=("bert-imdb", "ncf-movielens"), precisions=("fp32", "tf32"), batch_sizes=(8,))
    found = list(cases(selection, CPU))
    assert [case.id for case, _ in found] == [
        f"{workload}-{mode}-eager-tiny-b8" for workload in ("bert-imdb", "ncf-movielens") for mode in ("fp32", "tf32")
    ]
    assert [reason is None for _, reason in found] == [True, False] * 2


def test_those_of_a_test_are_its_own():
    assert {case.workload for case, _ in cases(Selection(), CPU, ["bert-s128"])} == {"bert-s128"}


def test_without_names_random_inputs_are_left_out():
    found = {case.workload for case, _ in cases(Selection(), CPU)}
    assert "bert-imdb" in found
    assert "bert-s128" not in found


@pytest.mark.parametrize("module", ["selection", "runner", "ab", "ab.command"])
def test_it_needs_no_torch(module):
    code = f"import sys, mpcore.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
