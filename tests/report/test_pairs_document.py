"""Base against head, as `ab` shows it."""

import pytest
from reading import row

from mpcore.records import Case, Comparison, Pair, PairedCase, Regression, Revision, Selection
from mpcore.report.documents import pairs_document
from mpcore.report.render import render

LONG = "a-workload-with-a-name-that-is-quite-long-for-a-workload"


def regression(metric, status, ratio=1.0, interval=None):
    return Regression(
        kind="timing", case="a", metric=metric, status=status, value=0.0, limit=1.0, ratio=ratio, interval=interval,
        sentence=f"{metric} is {status}",
    )  # fmt: skip


@pytest.fixture
def comparison(run):
    """comparison(cases, ...): of two commits on one machine; `cases` are regressions by workload."""

    def comparison(cases, head_software=None, **changes):
        machine = run.machine
        new = machine.model_copy(update={"software": machine.software | (head_software or {})})
        revisions = {
            "base": Revision(name="main", commit="a" * 40, python="python", machine=machine),
            "head": Revision(name="the working tree", commit=None, python="python", slowdown=1.02, machine=new),
        }
        pairs = (Pair(base_seconds=0.010, head_seconds=0.0102, head_first=True),) * 3
        paired = [
            PairedCase(
                case=Case(workload=name, precision="fp32", execution="graph", size="full"),
                pairs=() if found[0].status == "new" else pairs,
                regressions=found,
            )
            for name, found in cases.items()
        ]
        return Comparison(
            **revisions, selection=Selection(), seed=7, datetime="2026-01-02T03:04:05+00:00", cases=tuple(paired), **changes
        )

    return comparison


SLOWER = (regression("step time", "worse", 1.02, (1.018, 1.022)), regression("graph memory", "better", 0.9))


def cells(document):
    return row(next(section for section in document.sections if section.tables), "a-fp32-graph-full")


def test_a_case_has_its_times_its_changes_and_what_they_mean(comparison):
    assert cells(pairs_document(comparison({"a": SLOWER}))) == {
        "case": "a-fp32-graph-full",
        "base ms": "10",
        "head ms": "10.2",
        "change %": "+2.00 ± 0.20",
        "mem. %": "-10.00",
        "status": "worse, graph memory better",
    }


def test_memory_that_is_the_same_is_no_word_of_the_status(comparison):
    steady = (SLOWER[0], regression("graph memory", "same"))
    assert cells(pairs_document(comparison({"a": steady})))["status"] == "worse"


def test_what_only_head_has_is_new(comparison):
    new = (regression("step time", "new", None),)
    assert list(cells(pairs_document(comparison({"a": new}))).values())[1:] == ["-", "-", "-", "-", "new"]


def test_base_and_head_are_told_with_what_differs(comparison):
    document = pairs_document(comparison({}, head_software={"torch": "2.12.0"}))
    assert document.sections[0].sentences == [
        "base: main at aaaaaaaaaaaa, python",
        "head: the working tree, python, steps made 1.02 times as long",
        "on Some GPU, order of seed 7",
        "software: torch 2.11.0 -> 2.12.0",
    ]
    assert len(document.sections) == 1


def test_a_sentence_is_said_of_all_that_is_not_the_same(comparison):
    same = (regression("step time", "same"),)
    document = pairs_document(comparison({"a": SLOWER, "b": same}, failures={"c": "no memory"}, skipped={"d": "no fp8"}))
    told, once_more = document.sections[-2:]
    assert told.sentences == [
        "worse: step time is worse",
        "better: graph memory is better",
        "failed: c: no memory",
        "not run: d: no fp8",
    ]
    (command,) = once_more.commands
    assert command.startswith("python -m mpcore ab aaaaaaaaaaaa ")
    assert command.endswith("--mp-workload a --mp-precision fp32 --mp-execution graph")


@pytest.mark.parametrize(
    ("lost", "said"), [(("no answer",), "a pair is not whole, no answer"), (("x", "y"), "2 pairs are not whole, y")]
)
def test_pairs_that_are_not_whole_are_counted(comparison, lost, said):
    made = comparison({"a": (regression("step time", "same"),)})
    made = made.model_copy(update={"cases": (made.cases[0].model_copy(update={"lost": lost}),)})
    assert pairs_document(made).sections[-1].sentences == [f"lost: a-fp32-graph-full: {said}"]


def test_it_fits_a_terminal_and_is_whole_in_markdown(comparison):
    document = pairs_document(comparison({"a": SLOWER, LONG: SLOWER}))
    lines = render(document, "terminal").splitlines()
    assert max(len(line) for line in lines if "python -m mpcore" not in line) <= 100  # a command is copied whole
    text = render(document, "markdown")
    assert text.startswith("## Base against head\n")
    assert f"| {LONG}-fp32-graph-full" in text
    assert "- worse: step time is worse" in text
    assert "\x1b[31mworse\x1b[0m: step time is worse" in render(document, "terminal", colour=True)
