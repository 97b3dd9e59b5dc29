import pytest

from mpcore.report.against import against


@pytest.fixture
def compared(outcome, run, many, since):
    """compared("better", ...): of two cases, compared with one accepted run."""

    def compared(status, **changes):
        return outcome(since(many(2), status), **({"accepted": [run], "folder": "baselines/some"} | changes))

    return compared


def test_without_accepted_runs_it_is_said_where_they_would_be(outcome, many, since):
    text = against(outcome(since(many(2), "new"), folder="baselines/some"))
    assert text == "new: nothing is compared, baselines/some holds no accepted run"


def test_where_nothing_was_to_be_compared_nothing_is_said(outcome, many):
    assert against(outcome(many(2))) == ""


def test_figures_are_counted_by_status(compared):
    assert against(compared("same")) == "against 1 accepted run of baselines/some: 2 same"


@pytest.mark.parametrize(
    ("status", "title"),
    [
        ("better", "better than accepted runs, which accept --anew CASES would hold:"),
        ("undecided", "undecided against accepted runs, which passes unless --mp-strict is given:"),
    ],
)
def test_what_changed_is_listed_by_status(compared, status, title):
    said = f"{title}\n  step time of mode-0 is {status}\n  step time of mode-1 is {status}"
    assert against(compared(status)) == f"against 1 accepted run of baselines/some: 2 {status}\n{said}"


def test_what_fails_is_counted_here_and_told_elsewhere(compared):
    assert against(compared("worse")) == "against 1 accepted run of baselines/some: 2 worse"
    assert against(compared("undecided", strict=True)) == "against 1 accepted run of baselines/some: 2 undecided"


def test_what_is_new_is_named_once(compared):
    named = "  speed of bert-imdb-mode-0-eager-tiny\n  speed of bert-imdb-mode-1-eager-tiny"
    assert against(compared("new")).endswith(f"nothing\nnew, and compared with nothing:\n{named}")


def test_what_is_gone_is_named_unless_it_fails(compared):
    text = against(compared("same", gone=["speed of x: there is no such test"]))
    assert text.endswith("which passes unless --mp-strict is given:\n  speed of x: there is no such test")
    assert "gone" not in against(compared("same", gone=["speed of x"], strict=True))


def test_software_that_differs_is_named(compared, run):
    older = run.model_copy(
        update={"machine": run.machine.model_copy(update={"software": {"python": "3.12.1", "torch": "2.10"}})}
    )
    assert "software: torch 2.10 -> 2.11.0" in against(compared("same", accepted=[run, older]))
    assert "software" not in against(compared("same"))
