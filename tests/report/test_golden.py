"""Whole texts, so that a change of them is seen in a diff. With MPCORE_GOLDEN=1 they are written again."""

import os
from pathlib import Path

import prose
import pytest

from mpcore.records import FailedTest
from mpcore.report.documents import job_document, run_document, session_document
from mpcore.report.render import render

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def told(summary, run, results, trainers, worsened, compared, drifted, gone):
    """A session with something of all that can be said."""
    known = worsened(results, "accuracy", "accuracy", known=True)
    judged = [*compared(known[:1], "same"), *compared(known[1:2], "undecided"), *compared(known[2:3], "better"), *known[3:]]
    failed = [
        FailedTest(
            test="test_numerics.py::test_numerics[a]", name=results[-1].record.name, sentence=results[-1].checks[0].sentence
        ),
        FailedTest(test="test_speed.py::test_speed[b]", name="speed:b", sentence="b: CUDA out of memory"),
    ]
    older = run.model_copy(update={"machine": run.machine.model_copy(update={"software": {"torch": "2.10"}})})
    return summary(
        [*judged, *trainers, drifted({"fp32": 0.0012})],
        failed,
        skipped=["no fp8 here", "no fp8 here"],
        saved=[".benchmarks/Linux/0007_c0ffee.json"],
        accepted=[older],
        folder="baselines/some-gpu",
        gone=[gone],
    )


DOCUMENTS = {
    "session.txt": ("terminal", session_document),
    "job.md": ("markdown", job_document),
    "run.md": ("markdown", lambda summary: run_document(summary.run)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_text_is_as_it_is_to_be(told, name):
    format, document = DOCUMENTS[name]
    text = render(document(told), format)
    if os.environ.get("MPCORE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_its_sentences_can_be_read(told, name):
    _, document = DOCUMENTS[name]
    text = render(document(told), "markdown")
    assert prose.too_long([text]) == {}
    assert prose.NOUNS.findall(text) == []
