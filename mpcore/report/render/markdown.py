"""A document as markdown, as GitHub draws it."""

import html
import re
from collections.abc import Iterator

from mpcore.report.document import Document, Section
from mpcore.report.render.grid import markdown

TOP = 2
"""The level of the heading of a document."""
MARKS = re.compile(r"[\\`*_\[\]|~$#]")


def text(document: Document) -> str:
    title = [f"{'#' * TOP} {escaped(document.title)}"] if document.title else []
    blocks = [block for section in document.sections for block in _blocks(section, TOP + 1)]
    return "\n\n".join([*title, *blocks]) + "\n"


def _blocks(section: Section, level: int) -> Iterator[str]:
    title = escaped(section.title)
    if section.folded:
        yield f"<details><summary>{title}</summary>"
    elif title:
        yield f"{'#' * level} {title}"
    if section.lead:
        yield escaped(section.lead)
    for table in section.tables:
        yield markdown([[escaped(cell) for cell in row] for row in (table.headings, *table.rows)], table.sides)
    if section.sentences:
        yield "\n".join(f"- {escaped(sentence)}" for sentence in section.sentences)
    yield from map(code, section.commands)
    for inner in section.sections:
        yield from _blocks(inner, level + 1)
    if section.folded:
        yield "</details>"


def escaped(text: str) -> str:
    """On one line, for a line ends the row of a table. Marks become entities, which never have a meaning in markdown."""
    return MARKS.sub(lambda mark: f"&#{ord(mark[0])};", html.escape(" ".join(text.split()), quote=False))


def code(text: str) -> str:
    """On one line, between more backticks than stand in it."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"
