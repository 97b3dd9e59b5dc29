import io

import pytest

from mpcore.report.colour import coloured, wanted
from mpcore.report.terminal import terminal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fp32  1.00  ok", "fp32  1.00  \x1b[32mok\x1b[0m"),
        ("fp32  ok      undecided", "fp32  \x1b[32mok\x1b[0m      \x1b[33mundecided\x1b[0m"),
        ("failed:\n  a sentence", "\x1b[31mfailed\x1b[0m:\n  a sentence"),
        ("better than accepted runs:", "\x1b[32mbetter\x1b[0m than accepted runs:"),
        ("beside it: 1 better, 2 worse", "beside it: 1 \x1b[32mbetter\x1b[0m, 2 \x1b[31mworse\x1b[0m"),
    ],
)
def test_words_that_judge_have_a_colour(text, expected):
    assert coloured(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  it is known to be worse", "newer: no", "the new one is better", "failedly  okay", "fp32: 3 new kernels"]
)
def test_the_same_words_in_a_sentence_have_none(text):
    assert coloured(text) == text


def test_text_is_made_without_colours(outcome, results):
    text = terminal(outcome(results))
    assert "\x1b" not in text
    assert "\x1b[31mfailed\x1b[0m" in coloured(text)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_and_for_those_who_want_them(monkeypatch, stream, environment, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wanted(stream) is expected
