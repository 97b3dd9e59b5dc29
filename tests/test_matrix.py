"""The cases that a selection names."""

import pytest
import torch

from mpcore.matrix import cases, check, resolve
from mpcore.records import Selection
from mpcore.selection import SelectionError

CPU = torch.device("cpu")


def test_a_name_that_nothing_is_registered_under_is_refused_or_left_out():
    selection = Selection(workloads=("bert-imdb", "bert"), precisions=("all",), load=("nowhere.py",))
    there, unknown = resolve(selection)
    assert (there.workloads, there.precisions) == (("bert-imdb",), ("all",))
    assert list(unknown) == ["load nowhere.py", "workloads bert"]
    assert unknown["workloads bert"].startswith("unknown workload 'bert'; ")
    assert "nowhere.py': there is no such file; expected a Python file" in unknown["load nowhere.py"]
    with pytest.raises(SelectionError, match="nowhere"):
        check(selection)


def test_nothing_is_left_of_a_selection_of_which_nothing_is_there():
    """And not everything."""
    assert resolve(Selection(workloads=("bert",)))[0] is None


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


def test_all_of_them_have_random_inputs_among_them():
    there, unknown = resolve(Selection(workloads=("all",), precisions=("fp32",)))
    assert unknown == {}
    found = {case.workload for case, _ in cases(there, CPU)}
    assert {"bert-imdb", "bert-s128"} <= found
