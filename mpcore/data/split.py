"""One split of a data set, encoded: equally long tensors by name."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Split:
    """A split of a data set. `columns` maps a name to a tensor of (samples, ...). Raises ValueError where they disagree in the
    number of samples, or there is none."""

    columns: dict[str, Tensor]

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if not isinstance(column, Tensor) or not column.dim():
                raise ValueError(
                    f"column {name!r} is {column!r:.60}: expected a tensor whose first dimension counts the samples"
                )
        if not self.columns:
            raise ValueError("a split must have a column at least")
        if len(set((rows := {name: len(column) for name, column in self.columns.items()}).values())) > 1:
            raise ValueError(f"the columns of a split must have equally many rows: {rows}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def to(self, device: torch.device) -> "Split":
        """A copy on `device`."""
        return Split({name: column.to(device) for name, column in self.columns.items()})

    def rows(self, index: slice | Tensor) -> Batch:
        """The samples that `index` picks, by column."""
        return {name: column[index] for name, column in self.columns.items()}

    def rows_on(self, device: torch.device, index: slice | Tensor) -> Batch:
        """The same on `device`, which the others need not fit on."""
        return {name: column.to(device) for name, column in self.rows(index).items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """In the order of the data; the last batch may be smaller, no sample is lost."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def shuffled(self, size: int, seed: int, epoch: int, *, drop_last: bool = False) -> Iterator[Batch]:
        """In an order that seed and epoch alone decide, on any device; the last batch may be smaller, or is dropped."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(self), generator=generator)
        device = next(iter(self.columns.values())).device
        whole = len(order) - len(order) % size if drop_last else len(order)
        for index in order[:whole].to(device).split(size):
            yield self.rows(index)
