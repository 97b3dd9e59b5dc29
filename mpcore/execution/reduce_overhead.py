"""`reduce-overhead`: the model through torch.compile with torch's own CUDA graphs."""

from typing import Any

import torch
from torch import Tensor

from mpcore.execution.eager import executions
from mpcore.execution.inductor import Inductor


@executions.register
class ReduceOverhead(Inductor):
    """The model through torch.compile with mode="reduce-overhead": its forward and its backward are CUDA graphs of torch's,
    and Python launches the optimiser. What a call returns is written over by the next."""

    name = "reduce-overhead"
    mode = "reduce-overhead"

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"{cls.name} needs an NVIDIA GPU, for torch's CUDA graphs; this is a {device.type}"
        return super().unsupported(device)

    def __call__(self, batch: Any) -> Tensor:
        _mark()
        return super().__call__(batch)

    def launch(self, batch: Any) -> Tensor:
        _mark()
        return super().launch(batch)


def _mark() -> None:
    """All parts of a batch are one step of torch's, for the gradients of the first live until the last is added."""
    torch.compiler.cudagraph_mark_step_begin()
