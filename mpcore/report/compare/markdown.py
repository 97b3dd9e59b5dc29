"""A comparison as markdown."""

import tabulate

from mpcore.report.compare.document import Document, Section, Table
from mpcore.report.escape import escaped


def text(document: Document) -> str:
    return "\n\n".join([f"## {escaped(document.title)}", *map(_section, document.sections)]) + "\n"


def _section(section: Section) -> str:
    parts = [f"### {escaped(section.title)}", *([_table(section.table)] if section.table else [])]
    return "\n\n".join([*parts, *(["\n".join(f"- {escaped(s)}" for s in section.sentences)] if section.sentences else [])])


def _table(table: Table) -> str:
    align = ["left" if i < table.names else "right" for i in range(len(table.headings))]
    cells = [[escaped(cell) or "-" for cell in row] for row in table.rows]
    return tabulate.tabulate(
        cells, list(map(escaped, table.headings)), tablefmt="github", disable_numparse=True, colalign=align
    )
