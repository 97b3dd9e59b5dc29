"""What an own step is: model, data and optimiser of a script, together, as they are. Two methods, and three that say more."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mpcore.workloads.entry import Entry

Call = Callable[[Any], Tensor]


class OwnStep(Entry):
    """A training step that exists already, measured as it is. Subclasses set the class attributes, implement the two methods,
    and register:

        @workloads.register
        class NanoGPT(OwnStep): ...

    Each step has an object of the class for itself, whose methods are called in the order in which they stand here.
    """

    units_per_batch: ClassVar[int]
    """How many of `unit` a step goes through."""
    precisions: ClassVar[tuple[str, ...]]
    """The names that `build` understands: those of modes, or the author's own. Losses are compared with those of "fp32", or of
    the first where there is none."""
    execution: ClassVar[Literal["graph", "eager"]] = "graph"
    """How it is run on a GPU, unless --mp-execution says it. A step whose optimiser finds its rate on the host is run eager."""
    distributed: ClassVar[bool] = False
    """Whether `build` spreads the step over the ranks of torch.distributed. Its process group is there then, and each rank has
    a GPU of its own; `batches` and `units_per_batch` are those of a rank."""
    must_beat: ClassVar[tuple[str, ...]] = ()
    """The precisions than which one of mixed precision must be faster on a GPU. Without, that is reported only."""
    must_learn: ClassVar[bool] = True
    """Whether its loss must fall by a tenth within a hundred steps on two batches: one of adversaries need not."""
    curve_steps: ClassVar[int] = 200
    """Steps of a training; there is one training from each seed. The mean loss of the last tenth is compared."""
    tolerance: ClassVar[float] = 2.0
    """Per cent by which that loss may lie above FP32's."""

    @abstractmethod
    def build(self, precision: str, device: torch.device) -> Call:
        """The step: called with a batch it learns from it, and returns the loss, a 0-dim tensor on `device`. The seed is set,
        and the process-wide settings of `precision` hold, where that is a mode of mpcore, here and whenever it is called."""

    @abstractmethod
    def batches(self, device: torch.device) -> Iterable[Any]:
        """Batches for the step, made of tensors on `device` in whatever it takes them: tuples, dicts, dataclasses. The seed is
        set. Called again where they come to their end."""

    def optimisers(self) -> Any:
        """Those that the step updates weights with: one of torch.optim, or several. Their rates are 0 while it is timed."""
        return ()

    def parameters(self) -> Any:
        """What the step learns: a module, several in a list or by name, or tensors likewise."""
        return ()

    def state(self) -> Any:
        """What else a step moves, at a learning rate of 0 too: tensors, and what has a state_dict(). It is put back before each
        block that is timed; without optimisers, what `parameters()` gives is, too."""
        return ()

    def step_batches(self, device: torch.device) -> Iterable[Any]:
        """What the step is called with, one after the other: the batches."""
        return self.batches(device)

    @property
    def rows_per_batch(self) -> int:
        """What a step goes through, in units."""
        return self.units_per_batch

    @property
    def reference(self) -> str:
        """The precision that others are compared with."""
        return "fp32" if "fp32" in self.precisions else self.precisions[0]

    def anew(self) -> "OwnStep":
        """Another object of the class, for another step."""
        return type(self)(self.size, self.source, self.checkpoint)


def mistake(cls: type[OwnStep]) -> str | None:
    """What is wrong with the attributes, if anything is: said when the class is registered."""
    names = cls.precisions
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) and name for name in names):
        return f"precisions is {names!r:.80}: expected names that build() understands, such as ('fp32', 'bf16-amp')"
    if wrong := [name for name in names if name.split() != [name] or any(c in name for c in ",[]:/\\")]:
        return f"precisions has {wrong[0]!r}: expected a name without spaces, commas, colons and slashes"
    units = cls.units_per_batch
    if not isinstance(units, property) and not (isinstance(units, int) and units > 0):
        return f"units_per_batch is {units!r:.80}: expected how many {cls.unit} a step goes through"
    if cls.execution not in ("graph", "eager"):
        return f"execution is {cls.execution!r:.80}: expected 'graph' or 'eager'"
    return None
