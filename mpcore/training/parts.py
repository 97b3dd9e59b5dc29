"""The parts of a batch: those that it goes through the model in, where gradients are accumulated, and those of ranks."""

import torch

from mpcore.data import Batch, Split
from mpcore.device import agreement


def parts(batch: Batch, count: int) -> list[tuple[Batch, float]]:
    """`count` parts, fewer where the batch has fewer samples, each with its share of the samples."""
    rows = len(Split(batch))
    size = -(-rows // count)
    return [(part, len(Split(part)) / rows) for part in Split(batch).batches(size)]


def rank_rows(batch: Batch, rank: int | None = None) -> Batch:
    """The samples of `rank`, None for this one: as many as each other has. Where they cannot be shared alike, the first are
    there once more at the end, as torch's DistributedSampler has it."""
    rows = len(Split(batch))
    own = -(-rows // agreement.ranks())
    first = (agreement.rank() if rank is None else rank) * own
    if first + own <= rows:
        return Split(batch).rows(slice(first, first + own))
    return Split(batch).rows(torch.arange(first, first + own, device=next(iter(batch.values())).device) % rows)
