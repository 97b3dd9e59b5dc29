"""`compile`: the model through torch.compile, within a captured step."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mpcore.device import agreement
from mpcore.device.graph_contents import GraphContents
from mpcore.execution.eager import Eager, Function, executions
from mpcore.execution.graph import Graph
from mpcore.execution.inductor import CompiledFunction, Inductor
from mpcore.execution.regions import regions


@executions.register
class Compile(Inductor):
    """The model through torch.compile; on a GPU the whole step, optimiser and all, is then captured as one graph.

    Blocks that repeat are compiled once, for all of them.
    """

    name = "compile"

    def __init__(self, function: Function, model: nn.Module, **options: Any) -> None:
        super().__init__(function, model, **options)
        execution = Graph if self.captures(self.device) else Eager
        self._run: Eager = execution(self._compiled_first, model, device=self.device, layout=self.layout)

    @classmethod
    def regions(cls, model: nn.Module) -> list[nn.Module]:
        return regions(model)

    @classmethod
    def captures(cls, device: torch.device) -> bool:
        return device.type == "cuda"

    @classmethod
    def stream(cls, device: torch.device) -> AbstractContextManager[None]:
        return Graph.stream(device) if cls.captures(device) else super().stream(device)

    @classmethod
    def launched(cls) -> type[Eager]:
        return Inductor

    def __call__(self, batch: Any) -> Tensor:
        return self._run(batch)

    def launch(self, batch: Any) -> Tensor:
        return self.function(batch) if agreement.ranks() == 1 else self._run.launch(batch)

    @property
    def remark(self) -> str | None:
        """With how many modules were compiled in vain: whoever calls their parts, and not them, runs these as they are."""
        forwards = (vars(module).get("forward") for module in self.model.modules())
        made = [forward for forward in forwards if isinstance(forward, CompiledFunction)]
        idle = sum(not forward.called for forward in made)
        said = f"{idle} of the {len(made)} modules that were compiled one by one are never called" if idle else None
        return "; ".join(filter(None, [self._run.remark, said])) or None

    @property
    def captured(self) -> bool:
        return self._run.captured

    @property
    def contents(self) -> GraphContents | None:
        return self._run.contents

    @property
    def pool_bytes(self) -> int | None:
        return self._run.pool_bytes
