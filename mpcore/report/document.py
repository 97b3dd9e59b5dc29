"""What is printed, before it is text: sections of tables and sentences, which four renderers draw.

    document = Document("What a step takes", [
        Section("bert-imdb", tables=[Table(["mode", "step ms"], [["fp32", "10.2"], ["bf16-amp", "5.1"]])],
                sentences=["bf16-amp: memory-bound"]),
    ])
    print(render(document, "terminal"))  # or "markdown", "csv", "html"; from mpcore.report.render

Texts are plain: a renderer escapes them, breaks their lines and colours the words that judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mpcore.report.line import Line

NOTHING = "-"
"""A cell of what was not measured."""


@dataclass(frozen=True)
class Table:
    """Cells as they are shown.

    align: "l" or "r" for each column; without it the first is on the left and the others are on the right. spare: headings of
    columns that a terminal leaves out, the first one first, until the table fits.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str = ""
    spare: Sequence[str] = ()

    @property
    def sides(self) -> str:
        """The side of each column."""
        return self.align or "l" + "r" * (len(self.headings) - 1)

    @property
    def filled(self) -> "Table":
        """Without the columns in which no row has anything, unless there are no rows."""
        if not self.rows:
            return self
        kept = [i for i in range(len(self.headings)) if any(row[i] != NOTHING for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table([self.headings[i] for i in kept], rows, "".join(self.sides[i] for i in kept), self.spare)


@dataclass(frozen=True)
class Section:
    """Drawn in this order: its title, a paragraph (lead), tables, a list of sentences, command lines, and the sections in it.

    commands: lines to type, which no renderer breaks. folded: whether markdown and a page show the title alone until somebody
    opens it. A section without a title belongs to the one before.
    """

    title: str = ""
    lead: str = ""
    tables: Sequence[Table] = ()
    sentences: Sequence[str] = ()
    commands: Sequence[str] = ()
    sections: Sequence["Section"] = ()
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """title: may be empty. lines: a line for each figure, for CSV, those that no section shows included."""

    title: str
    sections: Sequence[Section]
    lines: Sequence[Line] = ()
