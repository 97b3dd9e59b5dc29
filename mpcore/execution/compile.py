"""`compile`: the model through torch.compile."""

import importlib.util
import shutil
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.data import leaves
from mpcore.device.graph_contents import GraphContents
from mpcore.execution.eager import Eager, Function, executions
from mpcore.execution.graph import Graph


@executions.register
class Compile(Eager):
    """The model through torch.compile; on a GPU then captured as a graph.

    Compiled for the shape of the first batch. Batches of other shapes, such as the last of an epoch, run the model as it
    is: to compile it once more for one batch would take longer than the epoch.
    """

    name = "compile"

    def __init__(self, function: Function, model: nn.Module, **options: Any) -> None:
        super().__init__(function, model, **options)
        execution = Graph if self.captures(self.device) else Eager
        self._run: Eager = execution(self._compiled_first, model, device=self.device, layout=self.layout)
        self._first: list[torch.Size] | None = None

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "compile needs triton, which is not installed"
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++", "cl")):
            return "compile needs a C++ compiler, and none is on the path"
        return None

    @classmethod
    def captures(cls, device: torch.device) -> bool:
        return device.type == "cuda"

    @classmethod
    def prepare(cls, model: nn.Module) -> None:
        # Dynamo counts the models that went through one forward function, and compiles no more after the eighth.
        torch.compiler.reset()
        model.compile(dynamic=False)

    def __call__(self, batch: Any) -> Tensor:
        return self._run(batch)

    @property
    def captured(self) -> bool:
        return self._run.captured

    @property
    def contents(self) -> GraphContents | None:
        return self._run.contents

    @property
    def pool_bytes(self) -> int | None:
        return self._run.pool_bytes

    def _compiled_first(self, batch: Any) -> Tensor:
        shapes = [leaf.shape for leaf in leaves(batch)]
        self._first = self._first or shapes
        with torch.compiler.set_stance("default" if shapes == self._first else "force_eager"):
            return self.function(batch)
