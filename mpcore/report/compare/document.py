"""What a comparison says, before it is text, markdown or a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.report.compare.line import Line


@dataclass(frozen=True)
class Table:
    """Cells as they are shown. names: how many columns from the left are names and not figures."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int


@dataclass(frozen=True)
class Section:
    title: str
    table: Table | None = None
    sentences: Sequence[str] = ()


@dataclass(frozen=True)
class Document:
    """lines: all figures that it draws from, those that it does not show included."""

    title: str
    sections: Sequence[Section]
    lines: Sequence[Line]
