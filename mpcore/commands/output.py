"""What commands print."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpcore.report.document import Document


def show(document: "Document") -> None:
    """Prints it as for a terminal, in colour where it is one."""
    from mpcore.report.render import colour_wanted, render

    print(render(document, "terminal", colour=colour_wanted(sys.stdout)), end="", flush=True)


def tell(line: str) -> None:
    """Says on standard error what is being done, or what went wrong. Nothing ends because nobody reads it there."""
    if sys.stderr is not None:  # as where it is closed; then print would write to standard output
        with suppress(OSError):
            print(f"mpcore: {line}", file=sys.stderr, flush=True)
