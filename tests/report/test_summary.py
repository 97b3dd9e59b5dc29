from reading import section

from mpcore.records import ALL_CASES, FailedTest
from mpcore.report.documents import session_document
from mpcore.report.render import render
from mpcore.report.summary import why_gone


def test_a_failure_that_was_judged_is_told_once(summary, results):
    sentence = "bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be"
    failed = [FailedTest(test="test_numerics.py::test_numerics[x]", name=results[-1].record.name, sentence=sentence)]
    assert summary(results, failed).failures == [sentence]


def test_a_failure_of_another_test_is_told_though_it_holds_the_sentence_of_a_judgement(summary, results):
    sentence = results[-1].checks[0].sentence
    failed = [FailedTest(test="test_own.py::test_own[x]", name="speed:x", sentence=f"x: {sentence}")]
    assert summary(results, failed).failures == [sentence, f"x: {sentence}"]


def test_a_test_that_was_judged_and_failed_for_something_else_is_told_too(summary, results):
    failed = [FailedTest(test="test_numerics.py::x", name=results[-1].record.name, sentence="its teardown failed")]
    assert summary(results, failed).failures == [results[-1].checks[0].sentence, "its teardown failed"]


def test_a_test_that_failed_before_it_was_judged_is_told_with_those_that_were(summary, results):
    failed = [FailedTest(test="test_speed.py::test_speed[x]", sentence="x: CUDA out of memory")]
    assert summary(results, failed).failures == [results[-1].checks[0].sentence, "x: CUDA out of memory"]


def test_what_is_known_is_no_failure(summary, results, worsened):
    known = worsened([r for r in results if r.passed], "accuracy", "accuracy", known=True)
    assert summary(known).failures == []


def test_what_is_open_or_gone_fails_strictly(summary, many, compared, gone):
    results = compared(many(1), "undecided")
    assert summary(results, gone=[gone]).failures == []
    strictly = summary(results, gone=[gone], strict=True).failures
    undecided = "step time of mode-0 is undecided (undecided, which fails with --mp-strict)"
    assert strictly == [
        undecided,
        "gone, though an accepted run has it: speed of resnet18-mnist-fp32-eager-tiny: there is no such test",
    ]


def test_what_is_gone_and_is_a_failed_test_too_is_told_once(summary, many, gone):
    failed = [FailedTest(test="gone", sentence=why_gone(*gone), strict=True)]
    assert summary(many(1), failed, gone=[gone], strict=True).failures == [failed[0].sentence]


def test_what_all_cases_share_can_fail_a_session(summary, many, compared):
    common = compared(many(1), "worse")[0].regressions[-1]
    failed = [FailedTest(test=ALL_CASES, sentence=common.sentence)]
    assert summary(many(1), failed, common).failures == [common.sentence]


def test_what_failed_beside_another_trainer_is_told_with_what_else_failed(summary, results, trainers):
    failed = section(session_document(summary([*results, *trainers])), "failed:").sentences
    assert [said.split(" of")[0] for said in failed] == [
        "bert-imdb: gradient error",
        "resnet18-mnist: fp16-amp as eager is slower",
    ]


def test_the_sentence_of_a_failure_is_shown_and_of_a_pass_is_not(summary, results):
    text = render(session_document(summary(results)), "terminal")
    assert "failed:\n  bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be" in text
    assert "all is well" not in text
