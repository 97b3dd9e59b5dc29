"""Base against head by work, as `ab --work-only` shows it."""

import pytest
import stub
from reading import row

from mpcore.gate.work import work_regressions
from mpcore.records import Comparison, PairedCase, Regression, Revision, Selection
from mpcore.report.documents import pairs_document
from mpcore.report.render import render


@pytest.fixture
def comparison(run):
    """comparison(cases, ...): `cases` are regressions by workload."""

    def comparison(cases, **changes):
        sides = {"base": "main", "head": "the working tree"}
        revisions = {s: Revision(name=name, commit=None, python="python", machine=run.machine) for s, name in sides.items()}
        paired = [PairedCase(case=stub.case(name), pairs=(), regressions=tuple(found)) for name, found in cases.items()]
        fields = {"by": "work", "selection": Selection(), "datetime": "2026-01-02T03:04:05+00:00", "cases": tuple(paired)}
        return Comparison(**revisions, **fields, **changes)

    return comparison


def same(name):
    return work_regressions(stub.work(name), stub.work(name))


def more_casts(name, more=3):
    return work_regressions(stub.work(name), stub.work(name, 1 + more))


def told(document):
    """The last sentences before the command, if there is one, that counts once more."""
    return [section for section in document.sections if not section.commands][-1].sentences


def one(status, sentence):
    return [Regression(kind="work", case="a", metric="work", status=status, value=None, limit=None, sentence=sentence)]


def test_the_table_has_what_differs_alone_and_a_line_counts_the_rest(comparison):
    document = pairs_document(comparison({"a": same("a"), "b": more_casts("b"), "c": same("c")}))
    assert document.sections[0].sentences[-1] == "on Some GPU, by work"
    assert document.sections[1].lead == "2 of 3 cases do exactly the same"
    (table,) = document.sections[2].tables
    assert len(table.rows) == 1
    assert row(document.sections[2], "b-fp32-graph-full") == {
        "case": "b-fp32-graph-full",
        "casts": "+3",
        "cast bytes": "+18",
        "operations": "+3",
        "status": "worse",
    }


def test_where_all_is_the_same_there_is_no_table(comparison):
    document = pairs_document(comparison({"a": same("a")}))
    assert [section.lead for section in document.sections] == ["", "1 of 1 cases do exactly the same"]
    assert not any(section.tables for section in document.sections)


def test_as_many_of_others_are_a_difference(comparison):
    other = {"operations": {"relu | float32 | 8 | layer | forward": 1}}
    found = work_regressions(stub.work("a"), stub.work("a", **other))
    (section,) = [s for s in pairs_document(comparison({"a": found})).sections if s.tables]
    assert row(section, "a-fp32-graph-full") == {"case": "a-fp32-graph-full", "operations": "others", "status": "changed"}


def test_what_is_worse_is_said_first_and_what_is_alike_once(comparison):
    cases = {"bert": one("better", "bert: fewer"), "ncf": one("changed", "ncf: others")}
    cases |= {"unet": one("worse", "unet: 1 more in bfloat16"), "vit": one("worse", "vit: 22 more in float16")}
    cases |= {"gpt2": one("worse", "gpt2: 22 more in layer")}
    assert told(pairs_document(comparison(cases))) == [
        "worse: unet: 1 more in bfloat16 (alike in 1 other case)",
        "worse: gpt2: 22 more in layer",
        "changed: ncf: others",
        "better: bert: fewer",
    ]


def test_only_so_many_sentences_are_shown(comparison):
    names = [chr(ord("a") + i) * 3 for i in range(23)]
    said = told(pairs_document(comparison({"bert": [r for n in names for r in one("worse", f"bert: more in {n}")]})))
    assert len(said) == 21
    assert said[-1] == "and 3 other sentences, which the file of --json has"


def test_what_says_nothing_is_counted_by_its_reason(comparison):
    reasons = {"a-tf32": "no tf32 here", "b-tf32": "no tf32 here"}
    other = work_regressions(stub.work("a"), stub.work("a", software={"torch": "2.12.0"}))
    document = pairs_document(comparison({"a": other}, failures={"c": "head: no memory"}, skipped=reasons))
    assert document.sections[1].lead == "nothing is compared"
    incomparable, *others = told(document)
    assert incomparable.startswith("incomparable: a: ")
    assert others == ["failed: c: head: no memory", "not run: no tf32 here (2 cases)"]


def test_it_fits_a_terminal_whatever_differs(comparison):
    more = {"cast_bytes": 10**9, "saved_bytes": 10**9, "optimiser_bytes": 10**9, "synchronisations": ("item",)}
    made = comparison({"a": work_regressions(stub.work("a"), stub.work("a", 9, **more, flops_by_dtype={"float32": 10**12}))})
    assert max(map(len, render(pairs_document(made), "terminal").splitlines())) <= 100
    assert "| a-fp32-graph-full |" in render(pairs_document(made), "markdown")
