"""`inductor`: the model through torch.compile, as most people call it."""

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpcore.data import leaves
from mpcore.device.compilations import last_recompilation
from mpcore.errors import sentences
from mpcore.execution.eager import Eager, Function, executions

VERSIONS = 32
"""Of one function that may be compiled for one model, or for a block of it. By default torch runs what would be the ninth as it
is, and says so in a warning; beyond these it is an error."""

COMPILERS = {"cpu": ("C++", "CXX", ("g++",)), "cuda": ("C", "CC", ("gcc", "clang"))}
"""What is compiled besides a model's kernels: the language, the variable that names its compiler, and what is tried without it.
Inductor writes C++ for a CPU. On a GPU Triton compiles what launches its kernels, and nothing else is."""

_alive: "WeakSet[nn.Module]" = WeakSet()
"""Models that were compiled and may be called again."""
_before: dict[str, Any] = {}
"""Dynamo's switches as they were. They are the whole process's: what a script compiles by itself goes by its own."""


def forget_dead() -> None:
    """Gives back what was compiled of models that are dead, torch's graphs included, and puts dynamo's switches back, unless
    another is alive. Whatever else was compiled in this process is forgotten with it."""
    if not _alive:
        # a reset of what has compiled nothing loads all of inductor, which takes seconds
        if torch._dynamo.convert_frame.input_codes.seen:  # private API
            torch.compiler.reset()
        for name, value in _before.items():
            setattr(torch._dynamo.config, name, value)  # private API
        _before.clear()


@executions.register
class Inductor(Eager):
    """The model through torch.compile in its default mode, launched by Python as the optimiser is.

    Compiled for the shape of the first batch. Batches of other shapes, such as the last of an epoch, run the model as it is. To
    compile it once more for one batch would take longer than the epoch.
    """

    name = "inductor"
    compiles = True
    mode: ClassVar[str | None] = None
    """Of torch.compile, None for its default."""

    def __init__(self, function: Function, model: nn.Module, **options: Any) -> None:
        super().__init__(function, model, **options)
        self._first: list[torch.Size] | None = None

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return f"{cls.name} needs triton, which is not installed"
        missing = _missing_compiler(*COMPILERS[device.type])
        return missing and f"{cls.name} needs {missing}"

    @classmethod
    def prepare(cls, model: nn.Module) -> None:
        forget_dead()  # or what is counted of a step would hang on those that were compiled before it
        _begin(next(model.parameters()).device.type)
        regions = cls.regions(model)
        _switch(model, VERSIONS * len(regions))  # blocks that read a number of their own are compiled one by one
        for region in regions:
            _compile(region, within=region is not model, dynamic=False, mode=cls.mode)

    @classmethod
    def regions(cls, model: nn.Module) -> list[nn.Module]:
        """Modules of it that are compiled, each by itself."""
        return [model]

    def __call__(self, batch: Any) -> Tensor:
        return self._compiled_first(batch)

    def _compiled_first(self, batch: Any) -> Tensor:
        """The first shape is run as whoever calls wants it: who watches has set a stance in which nothing is compiled."""
        shapes = [leaf.shape for leaf in leaves(batch)]
        self._first = self._first or shapes
        with nullcontext() if shapes == self._first else torch.compiler.set_stance("force_eager"):
            return self.function(batch)


def _missing_compiler(language: str, variable: str, usual: Sequence[str]) -> str | None:
    """What is missing, and what was expected; None where nothing is."""
    own = os.environ.get(variable)
    if any(map(shutil.which, usual if own is None else [own])):
        return None
    if own is not None:
        return f"a {language} compiler, and {variable}={own!r} is none"
    return f"a {language} compiler: expected {' or '.join(usual)} on the path, or {variable} that names one"


@functools.cache
def _begin(device: str) -> None:
    """Once a process: inductor loads, and its compilers start, which takes seconds that are of no model."""
    x = torch.ones(8, 8, device=device, requires_grad=True)
    with suppress(Exception):  # which is raised of the model, too
        torch.compile(lambda x: F.gelu(x @ x).sum(), dynamic=False)(x).backward()
    torch.compiler.reset()


def _switch(model: nn.Module, versions: int) -> None:
    """Dynamo's switches, until the dead are forgotten. To set them at each call would take longer than the host of a small
    step. versions: of one function that may be compiled."""
    dynamo = torch._dynamo.config  # private API
    dynamo.use_recursive_dict_tags_for_guards = False  # for good: torch 2.11 dies where Python frees a model (pytorch#181873)
    _alive.add(model)
    for name, value in (("recompile_limit", versions), ("fail_on_recompile_limit_hit", True)):
        _before.setdefault(name, getattr(dynamo, name))
        setattr(dynamo, name, max(getattr(dynamo, name), value))


class CompiledFunction:
    """Compiled code in the place of a function of a module. A copy of the module runs the function as it is."""

    def __init__(self, function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function, self._compiled = function, compiled
        self.called = False

    def __reduce__(self) -> tuple[Any, ...]:
        """For `copy` and `pickle`: of a copy it is a method of its own."""
        module = getattr(self._function, "__self__", None)
        return (_itself, (self._function,)) if module is None else (getattr, (module, self._function.__name__))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """torch logs what is compiled too often, and raises an error that says neither what nor why."""
        self.called = True
        try:
            return self._compiled(*args, **kwargs)
        except torch._dynamo.exc.FailOnRecompileLimitHit:  # private API
            guard = last_recompilation()
        raise RuntimeError(
            sentences("torch.compile would compile one function too often", guard and f"the last guard that failed: {guard}")
        )


def _compile(module: nn.Module, *, within: bool, **options: Any) -> None:
    """From now on `module` runs compiled code. Of a module within a model that is its forward, however it is called: what is
    hooked to it runs before, such as a strategy that gathers its weights."""
    function = module.forward if within else module._call_impl  # private API
    forward = module.forward if within else type(module).forward  # a user may have set another on a block
    if (forward.__module__ or "").startswith("torch.nn."):  # dynamo passes over it unless other code calls it
        compiled: Any = functools.partial(torch.compile(_forward if within else _call, **options), module)
    else:
        compiled = torch.compile(function, **options)
    if within:
        module.forward = CompiledFunction(function, compiled)
    else:
        module._compiled_call_impl = CompiledFunction(function, compiled)  # private API


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return module._call_impl(*args, **kwargs)  # private API


def _forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return type(module).forward(module, *args, **kwargs)
