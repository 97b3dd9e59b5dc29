"""Calls of torch's functions, seen and changed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack  # private API
from torch.utils.hooks import RemovableHandle


class FunctionMode(TorchFunctionMode, ABC):
    """Within it each function of torch is called through `call`."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return self.call(func, args, kwargs or {})

    @property
    def is_on(self) -> bool:
        return self in _get_current_function_mode_stack()

    @abstractmethod
    def call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any: ...


def follow(mode: FunctionMode, model: nn.Module) -> None:
    """From now on the modules of `model` enter `mode` by themselves in a backward pass, where a checkpoint runs them once more.
    torch's autograd engine leaves all modes."""
    entered: list[nn.Module] = []

    def enter(module: nn.Module, _: Any) -> None:
        if not torch.compiler.is_compiling() and not mode.is_on:  # what is compiled is compiled within the mode
            mode.__enter__()
            entered.append(module)

    def leave(module: nn.Module, *_: Any) -> None:
        if not torch.compiler.is_compiling() and entered and entered[-1] is module:
            entered.pop()
            mode.__exit__(None, None, None)

    first = RemovableHandle.next_id  # private API
    for module in model.modules():
        RemovableHandle.next_id = first  # torch compiles for the number of a hook, and blocks that repeat are to share code
        module.register_forward_pre_hook(enter, prepend=True)
        module.register_forward_hook(leave, always_call=True)
