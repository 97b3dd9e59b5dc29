"""Data: embedded, from a folder or from the hub, as tensors."""

from mpcore.data.source import DataError, Source
from mpcore.data.split import Batch, Split

__all__ = ["Batch", "DataError", "Source", "Split"]
