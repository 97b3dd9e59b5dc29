"""The colour of the words that judge, on a terminal. Text is made without it, so that this is the only place that knows."""

import os
import re
from typing import TextIO

GREEN, RED, YELLOW = 32, 31, 33
COLOURS = {"ok": GREEN, "better": GREEN, "failed": RED, "worse": RED, "undecided": YELLOW, "known": YELLOW, "new": YELLOW}
WORDS = "|".join(COLOURS)
JUDGEMENT = re.compile(
    rf"^(?:{WORDS})(?=[ :])"  # that begins a line or the title of a list
    rf"|(?<=  )(?:{WORDS})(?=  |$)"  # in the cell of a table
    rf"|(?<=\d )(?:{WORDS})(?=,|$)",  # that is counted
    re.MULTILINE,
)


def wanted(stream: TextIO) -> bool:
    """Whether colours are of use there: on a terminal that knows them, unless NO_COLOR is set to anything."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def coloured(text: str) -> str:
    """With a colour for each verdict: not for the same word in a sentence, which judges nothing."""
    return JUDGEMENT.sub(lambda found: f"\x1b[{COLOURS[found[0]]}m{found[0]}\x1b[0m", text)
