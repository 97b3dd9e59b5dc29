"""The parts that a batch goes through the model in, where gradients are accumulated."""

from mpcore.data import Batch, Split


def parts(batch: Batch, count: int) -> list[tuple[Batch, float]]:
    """`count` parts, fewer where the batch has fewer samples, each with its share of the samples."""
    rows = len(next(iter(batch.values())))
    size = -(-rows // count)
    return [(part, len(next(iter(part.values()))) / rows) for part in Split(batch).batches(size)]
