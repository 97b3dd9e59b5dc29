"""`eager`: one operation after the other. The base of all executions.

An execution is made from a function of a batch, whatever that is, and the model inside it. It is called in the function's
place.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.device.graph_contents import GraphContents
from mpcore.registry import Registry

Function = Callable[[Any], Tensor]


class Eager:
    """One operation after the other, each launched by Python."""

    name: ClassVar[str] = "eager"
    compiles: ClassVar[bool] = False
    """Whether the model goes through torch.compile."""

    def __init__(
        self,
        function: Function,
        model: nn.Module,
        *,
        device: torch.device | None = None,
        layout: Callable[[], Hashable] = lambda: 0,
    ) -> None:
        """device: the device of the weights, where `model` has some. layout: what a captured function hangs on beside the
        batch; where it changes there is another graph, where it is None none yet."""
        self.function = function
        self.model = model
        self.device = device or next(model.parameters()).device
        self.layout = layout

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        """Why it cannot be had on `device`, or None."""
        return None

    @classmethod
    def captures(cls, device: torch.device) -> bool:
        """Whether a step on `device` becomes a graph."""
        return False

    @classmethod
    def launched(cls) -> "type[Eager]":
        """The same, but that Python launches what would be captured whole."""
        return cls

    @classmethod
    def prepare(cls, model: nn.Module) -> None:
        """Called once with a new model, before any function of it is executed."""

    @classmethod
    def stream(cls, device: torch.device) -> AbstractContextManager[None]:
        """Within it is made what must know the stream that it will run on: what reduces gradients over ranks."""
        return nullcontext()

    def __call__(self, batch: Any) -> Tensor:
        """What the function returns of `batch`. A graph writes it to the same place at every call."""
        return self.function(batch)

    def launch(self, batch: Any) -> Tensor:
        """The same, but never as a graph of the whole function: Python launches its operations, or what they were compiled
        to."""
        return self.function(batch)

    @property
    def captured(self) -> bool:
        """Whether there is a graph, which the host only has to start."""
        return False

    @property
    def remark(self) -> str | None:
        """What is to be known of it, once it was called."""
        return None

    @property
    def contents(self) -> GraphContents | None:
        """What the graph is made of that was captured first. None where none was, or it cannot be read."""
        return None

    @property
    def pool_bytes(self) -> int | None:
        """Device memory that belongs to graphs, None where none was captured."""
        return None


executions = Registry("execution", Eager)
executions.register(Eager)
