"""The figures of a document as CSV, a line for each."""

import csv
import io
from dataclasses import asdict, fields

from mpcore.report.document import Document
from mpcore.report.line import Line, versions


def text(document: Document) -> str:
    """The names of the columns first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) | {"software": versions(line.software)} for line in document.lines)
    return file.getvalue()
