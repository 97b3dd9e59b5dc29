"""The formats that a document can be drawn in."""

from collections.abc import Callable, Mapping

from mpcore.report.document import Document
from mpcore.report.render import csv, html, markdown, terminal

FORMATS: Mapping[str, Callable[[Document], str]] = {
    "terminal": terminal.text,
    "markdown": markdown.text,
    "csv": csv.text,
    "html": html.text,
}


def render(document: Document, format: str, *, colour: bool = False) -> str:
    """The text of a document, which ends with a line end. format: a name of `FORMATS`. colour: whether a terminal's words that
    judge have one."""
    return terminal.text(document, colour=True) if colour and format == "terminal" else FORMATS[format](document)
