"""Data: embedded, from a folder or from the hub, as tensors."""

from mpcore.data.source import DataError, Source
from mpcore.data.split import Batch, Split
from mpcore.data.tree import leaves, mapped, structure

__all__ = ["Batch", "DataError", "Source", "Split", "leaves", "mapped", "structure"]
