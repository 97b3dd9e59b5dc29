import re
from dataclasses import replace

import pytest

from mpcore.records import FailedTest
from mpcore.report.escape import escaped
from mpcore.report.pull_request import pull_request

EVIL = "<script>alert(1)</script>"


def first(text):
    return text.split("\n\n")[0]


def test_a_session_without_accepted_runs(outcome, many):
    text = pull_request(outcome(many(1)))
    assert first(text) == "**1 case passed, compared with no accepted run**"
    assert "Failed" not in text


def test_nothing_got_worse(outcome, run, many, since):
    assert first(pull_request(outcome(since(many(3), "same"), accepted=[run]))) == "**nothing got worse: 3 same**"


def test_what_failed_and_why(outcome, results):
    failed = [
        FailedTest(test="a", sentence=results[-1].verdicts[0].sentence),
        FailedTest(test="b", sentence="x: out of memory"),
    ]
    text = pull_request(outcome(results, failed))
    assert first(text) == "**2 of 8 cases failed**"
    assert (
        "Failed:\n\n- bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be\n- x: out of memory\n"
        in text
    )


def test_a_session_that_fails_though_no_case_did(outcome, many):
    text = pull_request(outcome(many(4), gone=["speed of x"], strict=True))
    assert first(text) == "**the session failed, though none of its 4 cases did**"
    assert "- gone, though the last accepted run has it: speed of x" in text


@pytest.mark.parametrize(
    ("ran", "failed", "headline"),
    [
        (0, 0, "**no case was run, 9 more were not reached**"),
        (2, 0, "**not finished: 2 cases passed, 9 more were not reached**"),
        (2, 1, "**1 of 2 cases failed, 9 more were not reached**"),
    ],
)
def test_a_session_that_was_interrupted_does_not_pass(outcome, many, ran, failed, headline):
    tests = [FailedTest(test=str(i), sentence="why") for i in range(failed)]
    assert first(pull_request(outcome(many(ran), tests, missed=9))) == headline


def test_what_changed_is_listed(outcome, run, many, since):
    older = run.model_copy(
        update={"machine": run.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.10"}})}
    )
    better, undecided = since(many(1), "better"), since(many(2), "undecided")[1:]
    text = pull_request(outcome([*better, *undecided], accepted=[older], gone=["speed of x: skipped"]))
    assert "Better than accepted runs, which accept --anew CASES would hold:\n\n- step time of mode-0 is better\n" in text
    assert "Undecided against accepted runs, which passes unless --mp-strict is given:\n\n- step time of mode-1" in text
    assert (
        "Gone, though the last accepted run has it, which passes unless --mp-strict is given:\n\n- speed of x: skipped" in text
    )
    assert "Software: torch 2.10 -&gt; 2.11.0" in text


def test_what_was_not_run_and_what_is_known_is_folded(outcome, results, worsened):
    known = worsened(results, "quality", "accuracy", known=True)
    text = pull_request(outcome(known, skipped=["no GPU here", "no GPU here", "no bf16"]))
    assert "<details><summary>Known: 1</summary>\n\n- accuracy is known to be lost\n\n</details>" in text
    assert "<details><summary>Not run: 3 cases</summary>\n\n- no GPU here (2 cases)\n- no bf16 (1 case)\n\n</details>" in text


def test_each_workload_has_a_folded_table(outcome, results, rivals):
    text = pull_request(outcome([*results, *rivals]))
    assert text.count("<details>") == text.count("</details>") == 3
    assert "<summary>bert-imdb (tiny, eager, batch of 32, on Some GPU)</summary>\n\n| mode " in text
    assert "<summary>Against other trainers</summary>\n\n| workload " in text
    assert re.search(r"\| fp16-amp \| +125\.00 \| +256 \|.*\| failed \|", text)


def test_beside_accepted_runs_each_case_says_what_it_is_since(outcome, run, many, since):
    text = pull_request(outcome(since(many(2), "undecided"), accepted=[run]))
    assert re.search(r"\| mode-1 \|.*\| ok +\| undecided \|", text)


def test_what_was_not_measured_is_a_dash(outcome, results, lost):
    text = pull_request(outcome([results[2], *lost([results[5]])]))
    assert re.search(r"\| fp32 +\| +64\.00 \|.*\| +- \| ok +\|", text)
    assert re.search(r"\| fp16-pure \| +- \|.*\| +not finite \| ok +\|", text)


def test_the_machine_the_commit_and_the_command_are_at_the_end(outcome, many):
    *_, machine, command = pull_request(outcome(many(1))).rstrip().split("\n\n")
    assert machine == (
        "2 x Some GPU, 16 CPU cores (Some CPU); python 3.12.1, torch 2.11.0; commit 0123456789ab; 2026-01-02 03:04 UTC"
    )
    assert command == "`pytest benchmarks`"


@pytest.mark.parametrize("name", [EVIL, "a|b", "`a`", "a\nb", "größe-→-模型", "*a*_b_[c](d)", "&amp;", "</details>", "$x$"])
def test_a_name_is_shown_as_it_is(outcome, many, since, name):
    """In tables, lists, titles and the command: no cell, tag or emphasis comes of it."""
    (result,) = many(1)
    case = result.record.case.model_copy(update={"workload": name, "precision": name})
    named = result.model_copy(update={"record": result.record.model_copy(update={"case": case, "unit": name})})
    told = outcome(since([named], "worse"), [FailedTest(test=name, sentence=name)], skipped=[name], gone=[name])
    text = pull_request(told)
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
def test_a_command_is_code_whatever_it_holds(outcome, many, command, shown):
    told = outcome(many(1))
    told = replace(told, run=told.run.model_copy(update={"command": command}))
    assert pull_request(told).rstrip().split("\n\n")[-1] == shown


def test_marks_are_entities_and_line_ends_spaces():
    assert escaped("`a` | *b*\n<i>&") == "&#96;a&#96; &#124; &#42;b&#42; &lt;i&gt;&amp;"


def test_five_hundred_cases_are_less_than_a_page_of_a_job_may_hold(outcome, many, since):
    text = pull_request(outcome(since(many(500), "worse"), [FailedTest(test=str(i), sentence="why") for i in range(500)]))
    assert first(text) == "**500 of 500 cases failed**"
    assert len(text.encode()) < 2**20
