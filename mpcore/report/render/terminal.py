"""A document in a terminal of 100 columns."""

import os
import re
import textwrap
from collections.abc import Iterator
from typing import TextIO

from mpcore.report.document import Document, Section, Table
from mpcore.report.render.grid import least_width, plain

WIDTH = 100
COLOURS = {
    **dict.fromkeys(("ok", "better"), "green"),
    **dict.fromkeys(("failed", "worse"), "red"),
    **dict.fromkeys(("undecided", "blind", "changed", "saturated", "incomparable", "known", "new"), "yellow"),
}
CODES = {"green": 32, "red": 31, "yellow": 33}
WORDS = "|".join(COLOURS)
JUDGEMENT = re.compile(rf"\A(?:{WORDS})(?=[ :])|(?<=\d )(?:{WORDS})(?=,|$)")
"""A word that begins a text or is counted. The same word in a sentence judges nothing."""


def colour_wanted(stream: TextIO) -> bool:
    """Whether colours are of use there: on a terminal that knows them, unless NO_COLOR is set to anything."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def text(document: Document, *, colour: bool = False) -> str:
    """colour: whether the words that judge have one."""
    title = [_wrapped(document.title, colour)] if document.title else []
    return "\n\n".join([*title, *("\n".join(_lines(section, colour)) for section in document.sections)]) + "\n"


def _lines(section: Section, colour: bool) -> Iterator[str]:
    yield from (_wrapped(said, colour) for said in (section.title, section.lead) if said)
    yield from (_table(table, colour) for table in section.tables)
    if section.tables and section.sentences:
        yield ""
    indent = "  " if section.title and not section.tables else ""
    yield from (_wrapped(sentence, colour, indent) for sentence in section.sentences)
    yield from (f"  {_printable(command)}" for command in section.commands)
    for inner in section.sections:
        yield ""
        yield from _lines(inner, colour)


def _table(table: Table, colour: bool) -> str:
    """Without as many of its spare columns as it has to be, which it says."""
    for count in range(len(table.spare) + 1):
        without = table.spare[:count]
        shown = [i for i, heading in enumerate(table.headings) if heading not in without]
        rows = [[_printable(row[i]) for i in shown] for row in (table.headings, *table.rows)]
        sides = "".join(table.sides[i] for i in shown)
        if least_width(rows, sides) <= WIDTH:
            break
    drawn = plain(rows, sides, WIDTH, COLOURS if colour else None)
    return "\n".join([drawn, _wrapped(f"left out, for lack of room: {', '.join(without)}", colour)]) if without else drawn


def _wrapped(said: str, colour: bool, indent: str = "") -> str:
    lines = textwrap.fill(
        _printable(said),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return JUDGEMENT.sub(lambda found: f"\x1b[{CODES[COLOURS[found[0]]]}m{found[0]}\x1b[0m", lines) if colour else lines


def _printable(said: str) -> str:
    """What a terminal would take for a command is none of a name's."""
    return "".join(c if c.isprintable() else " " for c in said)
