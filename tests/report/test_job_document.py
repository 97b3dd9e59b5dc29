"""The page of a pull request or of a job."""

import re
from dataclasses import replace

import pytest
from reading import row, section, sentences, titles

from mpcore.records import ALL_CASES, FailedTest
from mpcore.report.documents import job_document
from mpcore.report.render import render
from mpcore.report.render.markdown import escaped
from mpcore.report.sections.regressions import LET_GO

EVIL = "<script>alert(1)</script>"


def failures(count):
    return [FailedTest(test=f"test_speed.py::test_speed[{i}]", sentence="why") for i in range(count)]


def test_a_session_without_accepted_runs(summary, many):
    document = job_document(summary(many(1)))
    assert document.title == "1 case passed, compared with no accepted run"
    assert "Failures" not in titles(document)


def test_nothing_got_worse(summary, run, many, compared):
    assert job_document(summary(compared(many(3), "same"), accepted=[run])).title == "nothing got worse: 3 same"


def test_what_failed_and_why(summary, results):
    judged, lost = failures(2)
    told = {"name": results[-1].record.name, "sentence": results[-1].checks[0].sentence}
    failed = [judged.model_copy(update=told), lost]
    document = job_document(summary(results, failed))
    assert document.title == "2 of 8 cases failed"
    assert section(document, "Failures").sentences == [results[-1].checks[0].sentence, "why"]
    assert section(document, "Failures").commands == []


def test_what_failed_ends_with_the_commands_that_run_it_again(summary, many):
    failed = [test.model_copy(update={"command": f"pytest {test.test}"}) for test in failures(9)]
    document = job_document(summary(many(9), failed))
    assert section(document, "Failures").commands == [test.command for test in failed[:5]]
    assert section(document, "Failures").sentences[-1] == "5 of 9 commands that run them again:"
    assert "pytest test_speed.py::test_speed[0]" in render(document, "markdown")


def test_what_runs_all_cases_again_comes_first(summary, many):
    failed = [test.model_copy(update={"command": f"pytest {test.test}"}) for test in failures(9)]
    common = FailedTest(test=ALL_CASES, sentence="all cases are slower", command="pytest -m speed")
    document = job_document(summary(many(9), [*failed, common]))
    assert section(document, "Failures").commands[0] == "pytest -m speed"


def test_a_session_that_fails_though_no_case_did(summary, many, compared, gone):
    common = compared(many(1), "worse")[0].regressions[0]
    failed = [FailedTest(test=ALL_CASES, sentence=common.sentence), FailedTest(test="gone", sentence="x", strict=True)]
    document = job_document(summary(many(4), failed, common, gone=[gone], strict=True))
    assert document.title == "the session failed, though none of its 4 cases did"
    said = "gone, though an accepted run has it: speed of resnet18-mnist-fp32-eager-tiny: there is no such test"
    assert said in section(document, "Failures").sentences


@pytest.mark.parametrize(
    ("ran", "failed", "headline"),
    [
        (0, 0, "no case was run, 9 more were not reached"),
        (2, 0, "not finished: 2 cases passed, 9 more were not reached"),
        (2, 1, "1 of 2 cases failed, 9 more were not reached"),
    ],
)
def test_a_session_that_was_interrupted_does_not_pass(summary, many, ran, failed, headline):
    assert job_document(summary(many(ran), failures(failed), missed=9)).title == headline


def test_what_changed_is_listed(summary, run, many, compared, gone, results):
    software = {"python": "3.12.1", "torch": "2.10"}
    machine = run.machine.model_copy(update={"software": software})
    older = run.model_copy(update={"machine": machine, "results": tuple(results)})
    better, undecided = compared(many(1), "better"), compared(many(2), "undecided")[1:]
    document = job_document(summary([*better, *undecided], accepted=[older], gone=[gone]))
    assert section(document, "Better than accepted runs").sentences == ["step time of mode-0 is better"]
    assert section(document, "Undecided against accepted runs").sentences == ["step time of mode-1 is undecided"]
    assert section(document, "Gone, though an accepted run has it").sentences == [
        "speed of resnet18-mnist (eager-tiny: fp32): there is no such test",
        LET_GO,
    ]
    assert "Software: torch 2.10 -> 2.11.0" in sentences(document)


def test_what_was_not_run_and_what_is_known_is_folded(summary, results, worsened):
    known = worsened(results, "accuracy", "accuracy", known=True)
    text = render(job_document(summary(known, skipped=["no GPU here", "no GPU here", "no bf16"])), "markdown")
    assert "<details><summary>Known: 1</summary>\n\n- accuracy is known to be lost\n\n</details>" in text
    assert "<details><summary>Not run: 3 cases</summary>\n\n- no GPU here (2 cases)\n- no bf16 (1 case)\n\n</details>" in text


def test_each_workload_has_a_folded_table(summary, results, trainers):
    text = render(job_document(summary([*results, *trainers])), "markdown")
    assert text.count("<details>") == text.count("</details>") == 3
    assert "<summary>bert-imdb (tiny, eager, batch of 32, on Some GPU)</summary>\n\n| mode " in text
    assert "<summary>Against other trainers</summary>\n\n| workload " in text
    assert re.search(r"\| fp16-amp \| +125\.00 \| +256 \|.*\| failed \|", text)


def test_beside_accepted_runs_each_case_says_what_it_is_since(summary, run, many, compared):
    document = job_document(summary(compared(many(2), "undecided"), accepted=[run]))
    assert row(section(document, "bert-imdb"), "mode-1")["since"] == "undecided"


def test_what_was_not_measured_is_a_dash(summary, results, lost):
    document = job_document(summary([results[2], *lost([results[5]])]))
    timed, trained = (row(section(document, "resnet18-mnist"), mode) for mode in ("fp32", "fp16-pure"))
    assert (timed["step ms"], timed["acc. %"]) == ("64.00", "-")
    assert (trained["step ms"], trained["acc. %"]) == ("-", "not finite")


def test_the_machine_the_commit_and_the_command_are_at_the_end(summary, many):
    *_, machine, command = render(job_document(summary(many(1))), "markdown").rstrip().split("\n\n")
    assert machine == (
        "2 x Some GPU, 80 GiB, 16 CPU cores (Some CPU); python 3.12.1, torch 2.11.0; commit 0123456789ab; 2026-01-02 03:04 UTC."
    )
    assert command == "`pytest benchmarks`"


@pytest.mark.parametrize("name", [EVIL, "a|b", "`a`", "a\nb", "größe-→-模型", "*a*_b_[c](d)", "&amp;", "</details>", "$x$"])
def test_a_name_is_shown_as_it_is(summary, many, compared, name):
    """In tables, lists, titles and the command: no cell, tag or emphasis comes of it."""
    (result,) = many(1)
    case = result.record.case.model_copy(update={"workload": name, "precision": name})
    named = result.model_copy(update={"record": result.record.model_copy(update={"case": case, "unit": name})})
    failed = [FailedTest(test=name, sentence=name)]
    told = summary(compared([named], "worse"), failed, skipped=[name], gone=[(named.record, name)])
    text = render(job_document(told), "markdown")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 3
    assert set(re.findall(r"</?\w+", text)) == {"<details", "<summary", "</summary", "</details"}
    assert text.count("</details>") == text.count("<details>")
    assert f"- {escaped(name)} (1 case)" in text
    assert re.search(rf"\| {re.escape(escaped(name))} +\|", text)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ('pytest -k "a_b and not </details>"', '`pytest -k "a_b and not </details>"`'),
        ("pytest\n# Title", "`pytest # Title`"),
        ("echo `date` ``x", "``` echo `date` ``x ```"),
    ],
)
def test_a_command_is_code_whatever_it_holds(summary, many, command, shown):
    told = summary(many(1))
    told = replace(told, run=told.run.model_copy(update={"command": command}))
    assert render(job_document(told), "markdown").rstrip().split("\n\n")[-1] == shown


def test_five_hundred_cases_are_less_than_a_page_of_a_job_may_hold(summary, many, compared):
    document = job_document(summary(compared(many(500), "worse"), failures(500)))
    assert document.title == "500 of 500 cases failed"
    assert len(render(document, "markdown").encode()) < 2**20
