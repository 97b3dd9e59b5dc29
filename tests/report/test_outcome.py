from mpcore.records import FailedTest


def test_a_failure_that_was_judged_is_told_once(outcome, results):
    sentence = "bert-imdb: gradient error of fp16-amp against fp64 is 0.5, at most 0.1 may be"
    failed = [FailedTest(test="test_numerics.py::test_numerics[x]", sentence=sentence)]
    assert outcome(results, failed).failures == [sentence]


def test_a_test_that_failed_before_its_verdict_is_told_with_those_that_were_judged(outcome, results):
    failed = [FailedTest(test="test_speed.py::test_speed[x]", sentence="x: CUDA out of memory")]
    assert outcome(results, failed).failures == [results[-1].verdicts[0].sentence, "x: CUDA out of memory"]


def test_what_is_known_is_no_failure(outcome, results, worsened):
    known = worsened([r for r in results if r.passed], "quality", "accuracy", known=True)
    assert outcome(known).failures == []


def test_what_is_open_or_gone_fails_strictly(outcome, many, since):
    results = since(many(1), "undecided")
    assert outcome(results, gone=["speed of y"]).failures == []
    strictly = outcome(results, gone=["speed of y"], strict=True).failures
    assert strictly == ["step time of mode-0 is undecided", "gone, though the last accepted run has it: speed of y"]


def test_what_all_cases_share_can_fail_a_session(outcome, many, since):
    common = since(many(1), "worse")[0].verdicts[-1]
    assert outcome(many(1), common=common).failures == [common.sentence]
