"""A comparison in a terminal."""

import textwrap

import tabulate

from mpcore.report.compare.document import Document, Section, Table
from mpcore.report.lines import wrapped

NAME, FIGURE = 48, 14
"""Columns from which on a name, or what stands over and in a column of figures, goes on in another line."""


def text(document: Document) -> str:
    return "\n\n".join(map(_section, document.sections)) + "\n"


def _section(section: Section) -> str:
    parts = [section.title, *([_table(section.table)] if section.table else [])]
    return "\n".join([*parts, *(wrapped(_printable(sentence)) for sentence in section.sentences)])


def _table(table: Table) -> str:
    headings, *cells = [
        [_broken(text, NAME if i < table.names else FIGURE) for i, text in enumerate(row)]
        for row in (table.headings, *table.rows)
    ]
    align = ["left" if i < table.names else "right" for i in range(len(headings))]
    return tabulate.tabulate(cells, headings, tablefmt="simple", disable_numparse=True, colalign=align)


def _broken(name: str, width: int) -> str:
    return "\n".join(textwrap.wrap(_printable(name), width)) or "-"


def _printable(name: str) -> str:
    """What a terminal would take for a command is none of a name's."""
    return "".join(c if c.isprintable() else " " for c in name)
