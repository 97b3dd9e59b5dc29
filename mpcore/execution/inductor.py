"""`inductor`: the model through torch.compile, as most people call it."""

import importlib.util
import shutil
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mpcore.data import leaves
from mpcore.execution.eager import Eager, Function, executions


@executions.register
class Inductor(Eager):
    """The model through torch.compile in its default mode, launched by Python as the optimiser is.

    Compiled for the shape of the first batch. Batches of other shapes, such as the last of an epoch, run the model as it is: to
    compile it once more for one batch would take longer than the epoch.
    """

    name = "inductor"
    mode: ClassVar[str | None] = None
    """Of torch.compile, None for its default."""

    def __init__(self, function: Function, model: nn.Module, **options: Any) -> None:
        super().__init__(function, model, **options)
        self._first: list[torch.Size] | None = None

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return f"{cls.name} needs triton, which is not installed"
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++", "cl")):
            return f"{cls.name} needs a C++ compiler, and none is on the path"
        return None

    @classmethod
    def prepare(cls, model: nn.Module) -> None:
        # Dynamo counts the models that went through one forward function, and compiles no more after the eighth.
        torch.compiler.reset()
        model.compile(dynamic=False, mode=cls.mode)

    def __call__(self, batch: Any) -> Tensor:
        return self._compiled_first(batch)

    def _compiled_first(self, batch: Any) -> Tensor:
        shapes = [leaf.shape for leaf in leaves(batch)]
        self._first = self._first or shapes
        with torch.compiler.set_stance("default" if shapes == self._first else "force_eager"):
            return self.function(batch)
