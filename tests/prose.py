"""How long a sentence may be, in the docs and in what the program prints."""

import re
from collections.abc import Iterable, Iterator

MOST_WORDS = 25
NOUNS = re.compile(r"\b(what is none|that is none|that are none|of which|that of)\b")

FIGURE = r"[-+]?\d(?:[\w.,+-]*\w)?(?: (?:%|ms|s|[KMG]iB|MHz|GB/s)(?!\w))?"
ROW = re.compile(rf"{FIGURE}(?:(?: / | ){FIGURE})*")
NAMED = rf"(?:[^\s,:;()]+ ){{1,3}}{FIGURE}(?: \([^()]*\))?"
SHARES = re.compile(rf"(^|: |\(){NAMED}(?:(?:,| and) {NAMED})+(?=$|[.;)])")
CHANGED = r"(?:(?!: |; ).)*?(?: -> |, was | on rank 0, )(?:(?!: |; ).)*"
CHANGES = re.compile(rf"(.* .*): {CHANGED}(?:; {CHANGED})*(?:; and [\d,]+ more)?$")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def plain(text: str) -> str:
    """Of a page: no code, no headings, and of a link its words."""
    text = re.sub(r"\$\$.*?\$\$", "", without_code(text), flags=re.DOTALL)
    text = re.sub(r"^(#.*|\|[-:| ]+\|)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"`[^`]*`|\$[^$]*\$", "x", text)


def sentences(text: str) -> Iterator[str]:
    """Of paragraphs, items of lists and cells of tables."""
    lines = re.sub(r"\n(?=\s*(?:[-*>|]|\d+\.) )", "\n\n", plain(text))
    for part in re.split(r"\n\s*\n", lines):
        for cell in part.split("|") if part.lstrip().startswith("|") else [part]:
            said = " ".join(re.sub(r"^\s*(?:[-*>]|\d+\.) ", "", cell.strip()).split())
            yield from filter(None, re.split(r"(?<=[.!?])[*\")]* +", said))


def words(sentence: str) -> int:
    """Of what a program fills in, these are one: a figure with its unit, figures in a row, and after a colon a list of figures
    with their names, or of what was and what is."""
    filled = ROW.sub("0", SHARES.sub(r"\1x", CHANGES.sub(r"\1: x", sentence)))
    return len(re.findall(r"\S*\w\S*", filled))


def too_long(texts: Iterable[str]) -> dict[str, int]:
    """Sentences that a program prints, with how many words they have."""
    counts = {sentence: words(sentence) for text in texts for sentence in sentences(text)}
    return {sentence: count for sentence, count in counts.items() if count > MOST_WORDS}
