"""Tables as lines of text: the only place that knows the library that draws them."""

import io
from collections.abc import Mapping, Sequence
from textwrap import wrap

from rich.box import MARKDOWN, Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""No lines but a rule under the headings."""
NAME, FIGURE = 12, 14
"""A longer name may go on in the next line, and what stands in a longer column of figures does, between words."""
UNBOUNDED = 100_000

Rows = Sequence[Sequence[str]]


def markdown(rows: Rows, sides: str) -> str:
    """A line for each row, headings first. sides: "l" or "r" for each column."""
    return _drawn(Table(box=MARKDOWN), rows, sides, UNBOUNDED)


def plain(rows: Rows, sides: str, width: int, colours: Mapping[str, str] | None = None) -> str:
    """Not wider than `width`, if that is possible. colours: of cells by what they hold; None for no colour at all."""
    table = Table(box=PLAIN, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    return _drawn(table, _broken(rows, sides), sides, max(width, least_width(rows, sides)), colours)


def least_width(rows: Rows, sides: str) -> int:
    """The columns of a terminal that a plain table needs."""
    columns = zip(*_broken(rows, sides), strict=True)
    widths = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    return sum(min(n, NAME) if side == "l" else n for n, side in zip(widths, sides, strict=True)) + 2 * (len(sides) - 1)


def _broken(rows: Rows, sides: str) -> Rows:
    return [
        [
            cell if side == "l" or len(cell) <= FIGURE else "\n".join(wrap(cell, FIGURE))
            for cell, side in zip(row, sides, strict=True)
        ]
        for row in rows
    ]


def _drawn(table: Table, rows: Rows, sides: str, width: int, colours: Mapping[str, str] | None = None) -> str:
    for heading, side in zip(rows[0], sides, strict=True):
        if side == "l":
            table.add_column(Text(heading), overflow="fold")
        else:
            table.add_column(Text(heading), justify="right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*(Text.assemble((cell, (colours or {}).get(cell, ""))) for cell in row))
    file, colour = io.StringIO(), colours is not None
    Console(  # whatever the environment says
        file=file,
        width=width,
        height=1,
        color_system="standard" if colour else None,
        force_terminal=colour,
        no_color=not colour,
        force_jupyter=False,
        legacy_windows=False,
    ).print(table)
    return "\n".join(line for row in file.getvalue().splitlines() if (line := row.rstrip()))
