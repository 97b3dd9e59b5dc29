"""A document as a page that needs nothing else."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mpcore.report.document import Document

HERE = Path(__file__).parent
STYLE = HERE.parent / "page" / "page.css"


def text(document: Document) -> str:
    return environment(HERE).get_template("document.html").render(document=document, style=STYLE.read_text())


def environment(folder: Path) -> Environment:
    """Templates of a folder, in which what is not said to be safe is text."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
