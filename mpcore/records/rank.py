"""One of the processes that a step is spread over."""

from pydantic import NonNegativeInt

from mpcore.records.base import Record
from mpcore.records.measurement import Blocks


class Rank(Record):
    """The times of one rank, and a hash of its replica of the weights."""

    rank: NonNegativeInt
    blocks: Blocks
    weights_hash: str
