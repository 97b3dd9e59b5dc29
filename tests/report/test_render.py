"""The four renderers, each with the same document."""

import csv
import io
import os
import subprocess
import sys

import pytest

from mpcore.report.document import Document, Section, Table
from mpcore.report.line import Line
from mpcore.report.render import FORMATS, colour_wanted, render
from mpcore.report.render.markdown import escaped

TABLE = Table(["mode", "step ms", "gate"], [["fp32", "10.25", "ok"], ["bf16", "-", "failed"]], "lrl")
INNER = Section("Inside", sentences=["worse: it is"], folded=True)
DOCUMENT = Document("A title", [Section("One", "A lead.", [TABLE], ["why: so"], ["run it"], [INNER])])


def shown(*sections, colour=False):
    return render(Document("", sections), "terminal", colour=colour)


def test_a_terminal_has_plain_text():
    assert render(DOCUMENT, "terminal").splitlines() == [
        "A title",
        "",
        "One",
        "A lead.",
        "mode  step ms  gate",
        "---------------------",
        "fp32    10.25  ok",
        "bf16        -  failed",
        "",
        "why: so",
        "  run it",
        "",
        "Inside",
        "  worse: it is",
    ]


def test_markdown_folds_what_is_to_be_folded():
    assert render(DOCUMENT, "markdown").split("\n\n") == [
        "## A title",
        "### One",
        "A lead.",
        "| mode | step ms | gate   |\n|------|---------|--------|\n| fp32 |   10.25 | ok     |\n| bf16 |       - | failed |",
        "- why: so",
        "`run it`",
        "<details><summary>Inside</summary>",
        "- worse: it is",
        "</details>\n",
    ]


def test_a_page_has_all_of_it():
    text = render(DOCUMENT, "html")
    assert text.startswith("<!doctype html>")
    for part in ("<h1>A title</h1>", "<h2>One</h2>", "<p>A lead.</p>", "<li>why: so</li>", "<code>run it</code>"):
        assert part in text
    assert '<th scope="col" class="text">mode</th>' in text
    assert ">-</td>" in text
    assert "<summary>Inside</summary>" in text


def test_csv_has_a_line_for_each_figure():
    line = Line("bert", "full", "graph", "32", "fp32", "gpu", "step time", "ms", 1.5, False, "v1", "run.json")
    [read] = csv.DictReader(io.StringIO(render(Document("", [], [line]), "csv")))
    assert (read["workload"], read["value"], read["published"]) == ("bert", "1.5", "False")
    assert len(render(DOCUMENT, "csv").splitlines()) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_document_of_nothing_is_drawn(name):
    assert render(Document("", []), name).endswith("\n")


def test_marks_are_entities_and_line_ends_spaces():
    assert escaped("`a` | *b*\n<i>&") == "&#96;a&#96; &#124; &#42;b&#42; &lt;i&gt;&amp;"


def test_a_page_takes_no_name_for_markup():
    text = render(Document("<b>", [Section("<i>", tables=[Table(["<u>"], [["<s>"]])], sentences=["<a>"])]), "html")
    assert not any(tag in text for tag in ("<b>", "<i>", "<u>", "<s>", "<a>"))
    assert text.count("&lt;") == 7  # the titles stand twice


def test_a_terminal_obeys_no_name():
    text = shown(Section("red\x1b[31m\nname", tables=[Table(["\x1b[1m"], [["a\rb"]])], commands=["x\x07"]))
    assert "\x1b" not in text
    assert "red [31m name" in text
    assert "a b" in text
    assert "\x07" not in text


def test_square_brackets_are_no_markup():
    assert "[bold]x[/bold]" in shown(Section(tables=[Table(["mode"], [["[bold]x[/bold]"]])]))


def test_sentences_are_as_wide_as_a_terminal():
    lines = shown(Section("T", sentences=["word " * 60])).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line[:6] for line in lines[1:]] == ["  word", "    wo", "    wo", "    wo"]


def test_a_command_is_not_broken():
    assert f"  {'word ' * 60}".rstrip() in shown(Section("next:", commands=["word " * 60])).splitlines()[1]


def test_a_long_name_goes_on_in_the_next_line():
    text = shown(Section(tables=[Table(["name", "ms"], [["a-long-name-" * 12, "1"]])]))
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("a-long-name-") == 12


def test_a_wide_table_is_narrowed_before_columns_are_left_out():
    columns = [f"figure {i}" for i in range(9)]
    rows = [["some-mode-of-a-very-long-name-indeed", *["12345.67"] * 9]]
    wide = shown(Section(tables=[Table(["mode", *columns], rows, spare=columns[:2])])).splitlines()
    assert max(map(len, wide)) <= 100
    assert all("figure 0" not in line for line in wide[:-1])
    assert wide[-1].startswith("left out, for lack of room: figure 0")
    roomy = shown(Section(tables=[Table(["mode", *columns[:5]], [rows[0][:6]], spare=columns[:2])])).splitlines()
    assert "figure 0" in roomy[0]
    assert len(roomy) == 3


def test_a_figure_is_never_broken():
    rows = [["m" * 60, *["1,234,567.89"] * 9]]
    text = shown(Section(tables=[Table(["mode", *map(str, range(9))], rows)]))
    assert text.count("1,234,567.89") == 9


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (Section(tables=[Table(["mode", "gate"], [["fp32", "ok"]], "ll")]), "fp32  \x1b[32mok\x1b[0m"),
        (Section(tables=[Table(["mode", "since"], [["fp32", "undecided"]], "ll")]), "\x1b[33mundecided\x1b[0m"),
        (Section("failed:", sentences=["a"]), "\x1b[31mfailed\x1b[0m:\n  a"),
        (Section("better than accepted runs:"), "\x1b[32mbetter\x1b[0m than accepted runs:"),
        (Section(sentences=["worse: by 3 %"]), "\x1b[31mworse\x1b[0m: by 3 %"),
        (Section("beside it: 1 better, 2 worse"), "beside it: 1 \x1b[32mbetter\x1b[0m, 2 \x1b[31mworse\x1b[0m"),
    ],
)
def test_words_that_judge_have_a_colour(section, expected):
    assert expected in shown(section, colour=True)
    assert "\x1b" not in shown(section)


@pytest.mark.parametrize(
    "said", ["it is known to be worse", "newer: no", "the new one is better", "failedly  okay", "fp32: 3 new kernels"]
)
def test_the_same_words_in_a_sentence_have_none(said):
    section = Section("T", said, [Table(["a"], [[said]])], [said])
    assert "\x1b" not in shown(section, colour=True)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "20"}])
def test_a_text_hangs_on_no_environment(monkeypatch, environment):
    section = Section(tables=[Table(["mode", "gate"], [["a mode of a long name", "ok"]], "ll")])
    expected = [shown(section, colour=colour) for colour in (False, True)]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert [shown(section, colour=colour) for colour in (False, True)] == expected
    assert expected[0] != expected[1]


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
    assert colour_wanted(stream) is expected


def test_no_report_needs_torch():
    names = ("documents", "render", "page", "pictures", "frame", "summary")
    code = "; ".join(["import sys", *(f"import mpcore.report.{name}" for name in names), "sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


def test_a_column_in_which_nothing_was_measured_is_left_out():
    table = Table(["mode", "as", "weak %", "step ms"], [["fp32", "ddp", "-", "10.2"], ["tf32", "-", "-", "-"]], "llrr").filled
    assert table == Table(["mode", "as", "step ms"], [["fp32", "ddp", "10.2"], ["tf32", "-", "-"]], "llr")
    empty = Table(["mode", "step ms"], [])
    assert empty.filled == empty
