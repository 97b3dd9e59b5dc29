"""A comparison as a page that needs nothing else."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mpcore.report.compare.document import Document

HERE = Path(__file__).parent
STYLE = HERE.parent / "html" / "page.css"


def text(document: Document) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(document=document, style=STYLE.read_text())
