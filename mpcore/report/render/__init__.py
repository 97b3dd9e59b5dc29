"""Documents as text: for a terminal, as markdown, as CSV, and as a page."""

from mpcore.report.render.formats import FORMATS, render
from mpcore.report.render.terminal import colour_wanted

__all__ = ["FORMATS", "colour_wanted", "render"]
