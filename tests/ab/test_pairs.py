"""What a series of pairs says."""

import random
from collections import Counter
from pathlib import Path

import pytest
import stub
from scripted import BASE, NOISE, Script, compared, noisy, only, statuses

from mpcore.ab import Checkout
from mpcore.ab.listings import OLDER, listed
from mpcore.ab.processes import LEAST_PATIENCE_SECONDS
from mpcore.ab.verdicts import time_regression
from mpcore.commands.ab import bisect_code, exit_code
from mpcore.gate import Policy
from mpcore.records import Case, Comparison, Failure, Pair
from mpcore.report.documents import pairs_document
from mpcore.report.render import render
from mpcore.report.render.terminal import WIDTH
from mpcore.runner import RunnerError
from mpcore.selection import SelectionError


def test_each_status_and_a_case_drops_out_once_it_is_decided():
    base = {name: noisy(0.001, seed) for seed, name in enumerate(("same", "better", "worse", "open"))}
    head = {
        "same": noisy(0.001, 10),
        "better": noisy(0.00097, 11),
        "worse": noisy(0.00103, 12),
        "open": noisy(0.001005, 13, spread=0.002),
    }
    script = Script(base, head)
    comparison, _ = compared(script)
    assert statuses(comparison) == {
        "same": ["same"] * 2,
        "better": ["better", "same"],
        "worse": ["worse", "same"],
        "open": ["undecided", "same"],
    }
    everything = ["same", "better", "worse", "open"]
    assert [names for names, _ in script.pairs] == [everything] * 6 + [["open"]] * 6 + [["worse"]] * 6
    assert [(len(c.pairs), len(c.confirmation)) for c in comparison.cases] == [(6, 0), (6, 0), (6, 6), (12, 0)]
    assert exit_code(comparison) == 1
    asked = [selection.workloads for selection in script.selections]
    assert [asked[2], asked[-1]] == [tuple(everything), ("worse",)]  # after those that list: no other data is loaded


@pytest.mark.parametrize("older", ["base", "head", None])
def test_launches_get_ready_ahead_where_both_sides_wait_to_be_asked(older):
    """Ranks of an older commit take their GPUs at once. Each process of the script asserts whether it was told to get ready."""
    script = Script({"a": 0.001}, {"a": 0.001})
    script.listings = {side: of.model_copy(update={"waits": side != older}) for side, of in script.listings.items()}
    assert statuses(compared(script)[0]) == {"a": ["same", "same"]}


def test_what_is_worse_says_by_how_much_and_which_kernels_explain_it():
    comparison, _ = compared(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.00103, 1)}))
    regression = only(comparison).regressions[0]
    assert regression.ratio == pytest.approx(1.03, abs=1e-3)
    assert regression.interval[0] < regression.ratio < regression.interval[1]
    assert regression.sentence.startswith("a-fp32-graph-full: a step takes 1.03 ms in head and 0.9998 ms in base, +3.0")
    assert "6 fresh pairs confirm it" in regression.sentence
    assert "matrix product" in regression.sentence
    assert "More than 0.5 % is worse" in regression.sentence


def test_fewer_fresh_pairs_than_were_to_confirm_say_how_many_they_are():
    pairs = [Pair(base_seconds=1.0 + n / 1e4, head_seconds=2.0, head_first=False) for n in range(6)]
    fresh = [Pair(base_seconds=b, head_seconds=3 - b, head_first=False) for b in (1.0, 2.0)]
    found = time_regression(Case(workload="a", precision="fp32", size="tiny"), pairs, fresh, 0.99, 1.0)
    assert found.status == "blind"
    assert ". The 2 of 6 fresh pairs that were measured do not confirm it" in found.sentence


def test_what_fresh_pairs_do_not_confirm_is_undecided():
    """As when another process was on the machine while the first were measured."""
    comparison, _ = compared(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.00103, 1, then=0.001, after=6)}))
    regression, _ = only(comparison).regressions
    assert regression.status == "undecided"
    assert "Fresh pairs do not confirm it" in regression.sentence
    assert exit_code(comparison) == 3


def test_a_base_that_is_older_than_an_option_is_said():
    class Older:
        def listing(self):
            raise RunnerError("its process ended with exit code 1: ValidationError: 1 validation error for Selection")

    with pytest.raises(RunnerError) as refused:
        listed("base", BASE, Older())
    assert str(refused.value) == f"base ({BASE.name}) cannot be measured: {OLDER}"


def test_the_order_within_pairs_is_balanced_and_that_of_the_seed():
    script = Script({"a": noisy(0.001, 0, 0.01)}, {"a": noisy(0.001, 1, 0.01)})
    comparison, _ = compared(script)
    firsts = [first for _, first in script.pairs]
    assert [pair.head_first for pair in only(comparison).pairs] == [first == "head" for first in firsts]
    assert Counter(firsts[:6]) == Counter(firsts[6:12]) == {"base": 3, "head": 3}
    again = Script({"a": noisy(0.001, 5, 0.01)}, {"a": noisy(0.001, 6, 0.01)})
    compared(again)
    assert [first for _, first in again.pairs] == firsts


def test_a_slowdown_is_that_of_its_checkout():
    head = Checkout("head", Path("head"), slowdown=2.0)
    comparison, _ = compared(Script({"a": noisy(0.001, 0)}, {"a": noisy(0.001, 1)}), head=head)
    assert only(comparison).regressions[0].ratio == pytest.approx(2.0, abs=0.01)
    assert comparison.head.slowdown == 2.0


def test_what_python_launches_has_a_wider_margin():
    def eager(seconds):
        return stub.timing("a", seconds, pool_bytes=None)

    comparison, _ = compared(Script({"a": eager(0.001)}, {"a": eager(0.001007)}))
    (regression,) = only(comparison).regressions
    assert (regression.status, regression.limit) == ("same", 1.0)


def test_margins_can_be_set_for_all_cases_and_for_some():
    policy = Policy([("*", {"pair_time": 5.0, "pair_memory": 100.0}), ("b-*", {"pair_time": 20.0})])
    fast, slow = stub.timing("a"), stub.timing("a", 0.0011, pool_bytes=2**30 * 3 // 2)
    comparison, _ = compared(Script({"a": fast, "b": fast}, {"a": slow, "b": slow}), policy)
    assert statuses(comparison) == {"a": ["worse", "same"], "b": ["same", "same"]}
    assert [[r.limit for r in case.regressions] for case in comparison.cases] == [[5.0, 100.0], [20.0, 100.0]]


def test_memory_that_the_graph_holds_is_compared_as_it_is():
    comparison, _ = compared(Script({"a": stub.timing("a")}, {"a": stub.timing("a", pool_bytes=2**30 * 3 // 2)}))
    time_, memory = only(comparison).regressions
    assert (time_.status, memory.status) == ("same", "worse")
    assert "its graph holds 1536.0 MiB in head and 1024.0 MiB in base, +50.0 %" in memory.sentence
    assert exit_code(comparison) == 1


def test_an_odd_process_does_not_blind_a_case():
    answer = noisy(0.001, 0)
    comparison, _ = compared(Script({"a": lambda n: answer(n) * (0.95 if n == 2 else 1)}, {"a": noisy(0.001, 1)}))
    time = only(comparison).regressions[0]
    assert (time.status, len(only(comparison).pairs)) == ("same", 6)
    assert (
        "1 of the pairs is set aside, more than 2 % off from the others, with head slower in 1 and faster in 0" in time.sentence
    )


def disturbed(seed, until=None):
    """A side that is noisy, in its processes before `until`."""
    random_ = random.Random(seed)
    return lambda number: 0.001 * random_.gauss(1, 0.05 if until is None or number < until else NOISE)


def test_a_case_that_may_be_much_slower_is_measured_again_in_fresh_pairs():
    comparison, lines = compared(Script({"a": disturbed(0, 12), "b": 0.001}, {"a": disturbed(1, 12), "b": 0.001}))
    assert statuses(comparison)["a"] == ["same", "same"]
    assert len(comparison.cases[0].pairs) == 6
    assert "too much cannot be excluded, and fresh pairs are measured: a-fp32-graph-full" in lines


def test_and_is_blind_where_these_say_no_more():
    comparison, _ = compared(Script({"a": disturbed(0)}, {"a": disturbed(1)}))
    time = only(comparison).regressions[0]
    assert (time.status, exit_code(comparison), bisect_code(comparison)) == ("blind", 4, 125)
    assert time.sentence.endswith(" % cannot be excluded, and 3 % must be")
    wide = Policy([("*", {"pair_blind": 30.0})])
    comparison, _ = compared(Script({"a": disturbed(0)}, {"a": disturbed(1)}), wide)
    assert (only(comparison).regressions[0].status, exit_code(comparison)) == ("undecided", 3)


def test_a_pair_that_a_crash_has_lost_is_said_and_the_rest_goes_on():
    answer = noisy(0.001, 0)
    crashing = lambda number: "its process was ended by SIGSEGV" if number == 1 else answer(number)  # noqa: E731
    comparison, _ = compared(Script({"a": noisy(0.001, 1), "b": noisy(0.001, 2)}, {"a": crashing, "b": noisy(0.001, 3)}))
    a, b = comparison.cases
    assert (len(a.pairs), len(b.pairs)) == (5, 6)
    assert a.lost == ("head: its process was ended by SIGSEGV",)
    assert statuses(comparison)["a"] == ["same", "same"]
    assert "a pair is not whole" in render(pairs_document(comparison), "terminal")


def crashes(at, seed=0):
    """A side whose processes of these numbers crash."""
    answer = noisy(0.001, seed)
    return lambda number: "its process was ended by SIGSEGV" if number in at else answer(number)


@pytest.mark.parametrize(("base", "head", "code"), [({1}, {3}, 0), ({1}, {1}, 0), ({1}, {}, 0), ({}, {3}, 2), ({1}, {3, 4}, 2)])
def test_a_head_that_crashes_more_often_than_base_is_not_the_same(base, head, code):
    comparison, _ = compared(Script({"a": crashes(base)}, {"a": crashes(head, 1)}))
    assert exit_code(comparison) == code
    said = ". The last one so: head: its process was ended by SIGSEGV"
    assert comparison.failures == (
        {"a-fp32-graph-full": f"head lost {len(head)} of 6 pairs, and base {len(base)}{said}"} if code else {}
    )


def test_two_hung_pairs_are_enough_and_the_limit_is_what_a_process_takes():
    hung = Failure(case=stub.case("a"), sentence="its process took more than 120 s for one response and was ended", hung=True)
    script = Script({"a": 0.001, "b": 0.001}, {"a": hung, "b": 0.001})
    comparison, _ = compared(script)
    assert comparison.failures["a-fp32-graph-full"].startswith("2 pairs are lost, the last one so: head: its process took more")
    assert [names for names, _ in script.pairs] == [["a", "b"]] * 2 + [["b"]] * 4
    assert script.patience[0] is None
    assert set(script.patience[1:]) == {LEAST_PATIENCE_SECONDS}


def test_a_case_with_hardly_a_whole_pair_has_failed():
    script = Script({"a": "the step cannot be captured", "b": 0.001}, {"a": 0.001, "b": 0.001})
    comparison, _ = compared(script)
    assert comparison.failures == {
        "a-fp32-graph-full": "4 of 4 pairs are lost, the last one so: base: the step cannot be captured"
    }
    assert [names for names, _ in script.pairs] == [["a", "b"]] * 4 + [["b"]] * 2
    assert exit_code(comparison) == 2


def test_what_is_worse_counts_before_what_failed():
    comparison, _ = compared(Script({"a": "no", "b": 0.001}, {"a": "no", "b": 0.002}))
    assert comparison.failures
    assert exit_code(comparison) == 1


def test_what_neither_can_run_is_no_failure():
    skipped = Failure(case=stub.case("a"), sentence="no layer to convert", skipped=True)
    comparison, _ = compared(Script({"a": skipped, "b": 0.001}, {"a": skipped, "b": 0.001}))
    assert comparison.skipped == {"a-fp32-graph-full": "no layer to convert"}
    assert exit_code(comparison) == 0


@pytest.mark.parametrize("changed", [{"workload_version": 2}, {"batch_size": 64}])
def test_two_things_are_not_compared(changed):
    comparison, _ = compared(Script({"a": stub.timing("a")}, {"a": stub.timing("a", **changed)}))
    (sentence,) = comparison.failures.values()
    assert sentence.startswith("base and head are not comparable: ")
    assert exit_code(comparison) == 2


def test_a_case_that_one_of_them_lacks_is_said():
    script = Script({"a": 0.001, "gone": 0.001}, {"a": 0.001, "new": 0.001})
    comparison, _ = compared(script)
    assert statuses(comparison) == {"a": ["same", "same"], "new": ["new"]}
    assert comparison.failures == {
        "gone-fp32-graph-full": "base has it and head does not, and only head has new: what was renamed is not compared, and "
        "--mp-workload names what can be"
    }
    assert exit_code(comparison) == 2


def test_a_case_that_is_gone_and_has_no_other_name_is_said():
    comparison, _ = compared(Script({"a": 0.001, "gone": 0.001}, {"a": 0.001}))
    assert comparison.failures == {"gone-fp32-graph-full": "base has it and head does not"}


def test_a_case_that_is_new_is_no_failure_unless_there_is_no_other():
    assert exit_code(compared(Script({"a": 0.001}, {"a": 0.001, "new": 0.001}))[0]) == 0
    assert exit_code(compared(Script({}, {"new": 0.001}))[0]) == 2


@pytest.mark.parametrize(("alone", "found"), [("head", {"mine": ["new"]}), ("base", {})])
def test_a_file_that_one_side_lacks_leaves_out_the_same_on_both(alone, found):
    """Where it registers nothing, all other workloads are listed."""
    sides = {"base": {"a": 0.001, "b": 0.001}, "head": {"a": 0.001, "b": 0.001}} | {alone: {"mine": 0.001}}
    script = Script(**sides)
    script.listings[alone] = script.listings[alone].model_copy(update={"alone": True})
    comparison, _ = compared(script)
    assert statuses(comparison) == found
    assert list(comparison.failures) == (["mine-fp32-graph-full"] if alone == "base" else [])


def test_a_case_that_only_base_can_run_has_failed():
    script = Script({"a": 0.001}, {"a": 0.001})
    cases = tuple((case, "it needs an NVIDIA GPU") for case, _ in script.listings["head"].cases)
    script.listings["head"] = script.listings["head"].model_copy(update={"cases": cases})
    comparison, _ = compared(script)
    assert comparison.failures == {"a-fp32-graph-full": "base runs it and head does not: it needs an NVIDIA GPU"}


def test_what_neither_has_is_a_mistake_in_the_selection():
    script = Script({}, {})
    unknown = (("workloads x", "unknown workload 'x'; known are a, b"),)
    script.listings = dict.fromkeys(("base", "head"), stub.listing(unknown=unknown))
    with pytest.raises(SelectionError, match="unknown workload 'x'"):
        compared(script)


def test_a_mistake_beside_what_is_there_is_one_too():
    script = Script({"a": 0.001}, {"a": 0.001})
    script.listings = {side: stub.listing("a", unknown=(("workloads x", f"none in {side}"),)) for side in ("base", "head")}
    with pytest.raises(SelectionError, match="none in head"):
        compared(script)
    script.listings["base"] = stub.listing("a")  # of one side only: it is new there, or gone
    assert exit_code(compared(script)[0]) == 0


def test_a_tree_without_code_is_refused():
    """What would be measured in its place is whatever is installed."""
    script = Script({"a": 0.001}, {"a": 0.001})
    unknown = (("load mine.py", "--mp-load 'mine.py': there is no such file"), ("workloads b", "unknown workload 'b'"))
    script.listings["base"] = script.listings["base"].model_copy(update={"own": False, "unknown": unknown})
    with pytest.raises(SelectionError, match=r"main: nothing is imported from base, .* of --mp-load. .* is no such file$"):
        compared(script)
    script.listings["base"] = script.listings["base"].model_copy(update={"unknown": ()})
    assert exit_code(compared(script, head=BASE, base=BASE)[0]) == 0
    assert exit_code(compared(script, base=Checkout("main", Path("base"), python="other"))[0]) == 0


def test_the_time_that_is_left_is_told():
    _, lines = compared(Script({"a": 0.001}, {"a": 0.001}))
    assert lines[1] == "pair 1 of 6"
    assert lines[2].startswith("pair 2 of 6, about 0 min 0")


def test_the_result_can_be_read_again_and_shown():
    names = ("a", "a-workload-with-a-name-that-is-quite-long-for-a-workload", "open")
    script = Script({n: noisy(0.001, 0) for n in names}, {names[0]: 0.00105, names[1]: 0.001, names[2]: noisy(0.001, 0, 0.1)})
    script.listings["base"] = stub.listing(*names, torch="2.10.0")
    comparison, _ = compared(script)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    shown = render(pairs_document(comparison), "terminal")
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "torch 2.10.0 -> 2.11.0" in shown
    assert "worse: a-fp32-graph-full: a step takes" in " ".join(shown.split())
    text = render(pairs_document(comparison), "markdown")
    assert f"| {names[1]}-fp32-graph-full" in text
    assert "- worse: a-fp32-graph-full: a step takes" in text
