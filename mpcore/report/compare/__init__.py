"""Saved runs beside each other: two of one hardware as what changed, any others as tables across hardware."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mpcore.records import Published, Run
from mpcore.report.compare import line, markdown, page, terminal
from mpcore.report.compare.across import across
from mpcore.report.compare.changes import changes
from mpcore.report.compare.document import Document, Section

FORMATS: Mapping[str, Callable[[Document], str]] = {
    "": terminal.text,
    ".md": markdown.text,
    ".csv": lambda document: line.text(document.lines),
    ".html": page.text,
}
"""By the suffix of a file; without one for a terminal."""


def compare(runs: Sequence[Run], published: Sequence[Published] = (), unreadable: Sequence[str] = ()) -> Document:
    """Published figures are shown beside those of hardware. unreadable: why files are not among these."""
    two = len(runs) == 2 and not published and runs[0].machine.hardware.key == runs[1].machine.hardware.key
    document = changes(*runs) if two else across(runs, published)
    left_out = [Section("Not read", sentences=unreadable)] if unreadable else []
    return replace(document, sections=[*document.sections, *left_out])


__all__ = ["FORMATS", "compare"]
