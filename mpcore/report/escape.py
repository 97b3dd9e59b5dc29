"""Text from outside as markdown and HTML show it: as it is."""

import html
import re

MARKS = re.compile(r"[\\`*_\[\]|~$#]")


def escaped(text: str) -> str:
    """On one line, for a line ends the row of a table. Marks become entities, which never have a meaning in markdown."""
    return MARKS.sub(lambda mark: f"&#{ord(mark[0])};", html.escape(" ".join(text.split()), quote=False))
