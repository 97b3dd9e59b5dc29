"""What is judged, beside commits that were measured before, in today's environment."""

from typing import Annotated

from pydantic import Field

from mpcore.records.base import Record
from mpcore.records.comparison import Pair


class PairedConfirmation(Record):
    """Pairs of fresh processes, one of a commit and one of what is judged, because the latter looked worse than accepted runs.

    commit: the one of the last accepted run. pairs: by the id of a case; what they call base is that commit. other_software:
    in words, what is installed now in another version than when it was accepted; "" where nothing is. target: the revision that
    the change is to go into, "" where none is known; target_pairs: the same beside it, where it was measured. target_reason:
    why it was not, though it was to be.
    """

    commit: Annotated[str, Field(min_length=1)]
    pairs: dict[str, tuple[Pair, ...]]
    other_software: str = ""
    target: str = ""
    target_pairs: dict[str, tuple[Pair, ...]] = {}
    target_reason: str = ""
