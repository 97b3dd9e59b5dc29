"""Text from outside as markdown and HTML show it: as it is."""

import html
import re

import pandas as pd

MARKS = re.compile(r"[\\`*_\[\]|~$#]")


def escaped(text: str) -> str:
    """On one line, for a line ends the row of a table. Marks become entities, which never have a meaning in markdown."""
    return MARKS.sub(lambda mark: f"&#{ord(mark[0])};", html.escape(" ".join(text.split()), quote=False))


def code(text: str) -> str:
    """On one line, between more backticks than stand in it."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """With all its texts escaped."""
    return frame.map(lambda value: escaped(value) if isinstance(value, str) else value)
