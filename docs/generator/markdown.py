"""Sections, tables and pages as markdown."""

from collections.abc import Iterable, Sequence

from mpcore.report.document import Document, Section
from mpcore.report.render import render


def markdown(*sections: Section) -> str:
    return render(Document("", sections), "markdown").strip()


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """As markdown, with markup in its cells left as it is: they are of this project."""
    aligned = align or "l" * len(headings)
    rule = ["---:" if side == "r" else "---" for side in aligned]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])


def page(title: str, sentence: str, command: str, *bodies: str) -> str:
    """A page of results: where it comes from, then what `bodies` hold."""
    return "\n\n".join([f"# {title}", sentence, f"```\n{command}\n```", *(body.strip() for body in bodies)]) + "\n"
