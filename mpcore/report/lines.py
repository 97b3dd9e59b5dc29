"""Lines of a terminal: sentences in its width, and lists under a title."""

import textwrap
from collections.abc import Sequence

WIDTH = 100


def wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(wrapped(line, "  ") for line in lines)] if lines else []


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
