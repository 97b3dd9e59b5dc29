import dataclasses

import pytest
from reading import section, sentences, titles

from mpcore.gate import Policy, judge_run
from mpcore.gate.regressions import MAKES_ACCEPTED
from mpcore.records import Result
from mpcore.report.document import Document
from mpcore.report.sections.regressions import ACCEPTED, LET_GO, UNTIMED, regressions


@pytest.fixture
def shown(summary, run, many, compared):
    """shown(status, ...): of two cases, compared with one accepted run."""

    def shown(status, **changes):
        told = {"accepted": [run], "folder": "baselines/some"} | changes
        return Document("", regressions(summary(compared(many(2), status), **told)))

    return shown


def test_without_accepted_runs_it_is_said_where_they_would_be(shown):
    assert sentences(shown("new", accepted=[])) == ["new: nothing is compared, baselines/some holds no accepted run"]


def test_where_nothing_was_to_be_compared_nothing_is_said(shown):
    assert shown("new", folder="").sections == []


def test_figures_are_counted_by_status(shown):
    assert titles(shown("same")) == ["against 1 accepted run of baselines/some: 2 same"]


@pytest.mark.parametrize(
    ("status", "title"),
    [
        ("better", "better than accepted runs, which accept --reset CASES would hold:"),
        ("changed", "changed since accepted runs, which passes unless --mp-strict is given:"),
        ("undecided", "undecided against accepted runs, which passes unless --mp-strict is given:"),
    ],
)
def test_what_changed_is_listed_by_status(shown, status, title):
    document = shown(status)
    assert titles(document) == [f"against 1 accepted run of baselines/some: 2 {status}", title]
    assert section(document, title).sentences == [f"step time of mode-0 and mode-1 is {status}"]


@pytest.mark.parametrize("strict", [False, True])
def test_what_fails_is_counted_here_and_told_elsewhere(shown, strict):
    assert titles(shown("worse")) == ["against 1 accepted run of baselines/some: 2 worse"]
    assert (len(titles(shown("undecided", strict=strict))) == 1) is strict


def test_what_is_new_is_named_once(shown):
    document = shown("new")
    assert titles(document)[0].endswith("baselines/some: nothing")
    assert section(document, "new, and compared with nothing:").sentences == [
        "speed of bert-imdb (eager-tiny: mode-0 and mode-1)"
    ]


@pytest.fixture
def other(regressed):
    """other(result, why): as the gate says of a case that cannot be compared."""

    def other(result, why):
        [judged] = regressed(result, "incomparable", None).regressions
        case = result.record.case
        sentence = f"{case.subject}: {case.precision}: accepted runs have it otherwise ({why}). {MAKES_ACCEPTED}"
        return result.model_copy(update={"regressions": (judged.model_copy(update={"sentence": sentence}),)})

    return other


def test_what_cannot_be_compared_is_grouped_by_its_reason_and_ends_with_what_accepts_it(summary, run, full, other):
    version, rows = "version 1 there, 2 here", "version 1 there, 2 here, rows 9 to test there, 8 here"
    found = [other(result, rows if result.record.kind == "accuracy" else version) for result in full]
    document = Document("", regressions(summary(found, accepted=[run], folder="baselines/some")))
    assert section(document, "not comparable with accepted runs:").sentences == [
        f"speed and numerics of bert-imdb (graph-full: all 9 modes): accepted runs have it otherwise ({version})",
        f"accuracy of bert-imdb (graph-full: all 9 modes): accepted runs have it otherwise ({rows})",
        ACCEPTED,
    ]


def test_what_the_gate_says_of_a_case_that_it_cannot_compare_is_said_without_its_mode(summary, run, full):
    records = [result.record.model_copy(update={"workload_version": 7}) for result in full]
    older = run.model_copy(update={"results": tuple(Result(record=record) for record in records)})
    judged = judge_run(run.model_copy(update={"results": tuple(full), "datetime": "2026-02-02"}), [older], Policy())
    document = Document("", regressions(summary(judged.results, accepted=[older], folder="baselines/some")))
    assert section(document, "not comparable with accepted runs:").sentences == [
        "speed, accuracy and numerics of bert-imdb (graph-full: all 9 modes): "
        "accepted runs have it otherwise (version 7 there, 1 here)",
        ACCEPTED,
    ]


def test_what_fails_strictly_stays_an_entry_of_its_own(summary, run, many, compared):
    strict = summary(compared(many(2), "undecided"), accepted=[run], folder="baselines/some", strict=True)
    assert [failure.partition(" (")[0] for failure in strict.failures] == [
        "step time of mode-0 is undecided",
        "step time of mode-1 is undecided",
    ]


def test_what_is_gone_is_named_once_unless_it_fails(shown, results):
    gone = [(result.record, "there is no such test") for result in results[:2]]
    document = shown("same", gone=gone)
    said = section(document, "gone, though an accepted run has it, which passes unless --mp-strict is given:")
    assert said.sentences == ["speed of bert-imdb (eager-tiny: fp32 and fp16-amp): there is no such test", LET_GO]
    assert section(shown("same", gone=gone, strict=True), "gone:").sentences == [LET_GO]


def test_what_all_cases_share_is_told_where_it_is_the_same(shown, many, compared):
    common = compared(many(1), "same", "all steps")[0].regressions[0]
    assert section(shown("same", common=common), "all cases together:").sentences == [common.sentence]


def test_software_that_differs_is_named(shown, run):
    software = {"python": "3.12.1", "torch": "2.10"}
    older = run.model_copy(update={"machine": run.machine.model_copy(update={"software": software})})
    assert sentences(shown("same", accepted=[run, older])) == ["software: torch 2.10 -> 2.11.0"]
    assert sentences(shown("same")) == []


@pytest.mark.parametrize(("metric", "said"), [("step time", []), ("memory", [UNTIMED])])
def test_that_times_of_a_cpu_are_not_compared_is_said(summary, run, many, compared, metric, said):
    machine = run.machine.model_copy(update={"hardware": run.machine.hardware.model_copy(update={"device": "cpu"})})
    accepted = run.model_copy(update={"results": tuple(many(2)), "machine": machine})
    made = summary(compared(many(2), "same", metric), accepted=[accepted], folder="baselines/some")
    on_cpu = made.run.model_copy(update={"machine": machine})
    assert sentences(Document("", regressions(dataclasses.replace(made, run=on_cpu)))) == said
    assert sentences(Document("", regressions(made))) == []
