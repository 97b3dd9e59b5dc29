"""This patch against that mode: a kernel, a fused layer, a quantisation, another attention."""

import importlib
import math
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn

from mpcore.errors import sentences
from mpcore.gate.limits import VARIANT_ERROR_FACTOR
from mpcore.precision.base import Precision, precisions
from mpcore.precision.errors import Inapplicable, PrecisionError

Attributes = dict[tuple[Any, str], Any]
"""By what has an attribute, and its name."""


class Variant(Precision):
    """The mode that is named `base`, with a patch on the model: to be faster than that mode, and as right.

        @precisions.register
        class MyKernel(Variant):
            name = "bf16-amp-mykernel"
            base = "bf16-amp"

            def apply(self, model): ...

    error_factor: how many times as far from FP64 as in the base the gradient of a tensor may be. format: in which a
    quantisation computes, None for the base's; from its round-off follow the other limits. Raises ValueError for a base that is
    no mode.
    """

    base: ClassVar[str]
    error_factor: ClassVar[float] = VARIANT_ERROR_FACTOR
    format: ClassVar[torch.dtype | None] = None
    on_request: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes it a subclass of the mode that it names, too, so that it does whatever that does. Raises ValueError."""
        super().__init_subclass__(**options)
        if "base" not in vars(cls):
            return
        modes = [name for name in precisions.names() if not issubclass(precisions[name], Variant)]
        if cls.base not in modes:
            raise ValueError(
                f"variant {cls.__qualname__} has the base {cls.base!r}: expected a mode, one of {', '.join(modes)}"
            )
        if cls.apply is Variant.apply:
            raise ValueError(f"variant {cls.__qualname__} has no apply(model): expected one that patches the model")
        if cls.format is not None and not cls.format.is_floating_point:
            expected = "expected one of floating-point numbers, whose round-off is as large, such as torch.float8_e4m3fn"
            raise ValueError(f"variant {cls.__qualname__} has the format {cls.format}: {expected}")
        cls.__bases__ = (*cls.__bases__, precisions[cls.base])

    @classmethod
    def roundoff(cls) -> float:
        """The round-off of `format`, or of the base."""
        return super().roundoff() if cls.format is None else torch.finfo(cls.format).eps / 2

    def apply(self, model: nn.Module) -> nn.Module | None:
        """Patches the FP32 `model`, on its device, before the base takes it over; or returns another in its place. Weights keep
        their names, so that gradients can be compared tensor by tensor, and their values."""
        raise NotImplementedError

    def patched(self, model: nn.Module) -> nn.Module:
        """Raises Inapplicable where nothing is patched, PrecisionError where more is than the model, or its weights change."""
        _load_dynamo()
        own, shared, weights = dict(_of_modules(model)), dict(_of_all(model)), dict(_sums(model))
        with self.reraised("apply"):
            returned = self.apply(model)
        if not (returned is None or isinstance(returned, nn.Module)):
            kind = type(returned).__name__
            raise PrecisionError(
                f"{self.name}: apply() returned a {kind}: expected a module, or None for the one that it patched"
            )
        patched = model if returned is None else returned
        self._check_shared(shared)
        self._check_weights(weights, dict(_sums(patched)))
        if patched is model and _equal(dict(_of_modules(model)), own):
            raise Inapplicable(f"{self.name}: apply() changes nothing in {type(model).__name__}, so that it is {self.base}")
        return patched

    def _check_shared(self, before: Attributes) -> None:
        """What other models run, too, is put back."""
        changed = [(owner, name) for (owner, name), value in before.items() if vars(owner).get(name) is not value]
        for owner, name in changed:
            setattr(owner, name, before[owner, name])
        if changed:
            owner, name = changed[0]
            raise PrecisionError(
                f"{self.name}: apply() changes {owner.__name__}.{name}, which {self.base} would run, too: expected a patch of "
                "the model's own modules"
            )

    def _check_weights(self, before: dict[str, float], after: dict[str, float]) -> None:
        for name, total in before.items():
            if name not in after:
                longer = next((found for found in after if found.endswith(f".{name}")), None)
                now = f", which is {longer} now" if longer else ""
                said = f"{self.name}: apply() leaves no weight {name}{now}: expected the names that the weights have"
                advice = "patch the model in place, as model.compile() does" if longer else ""
                raise PrecisionError(sentences(said, "their gradients are compared with those of fp64", advice))
            if not (math.isnan(after[name]) or math.isclose(total, after[name], rel_tol=1e-9)):
                raise PrecisionError(f"{self.name}: apply() changes the values of {name}: expected the model's own weights")


def _load_dynamo() -> None:
    """It patches torch when it is loaded. apply() may load it, as with torchao, and that would be taken for its patch."""
    importlib.import_module("torch._dynamo")  # private API


def _of_modules(model: nn.Module) -> Iterator[tuple[tuple[Any, str], Any]]:
    """The attributes of all modules, those of their parts and of their configurations."""
    for name, module in model.named_modules():
        yield (name, ""), type(module)
        for attribute, value in vars(module).items():
            parts = value if isinstance(value, dict) else {} if callable(value) else getattr(value, "__dict__", {})
            yield (name, attribute), None if parts else value
            for key, part in parts.items():
                yield (name, f"{attribute}.{key}"), part


def _of_all(model: nn.Module) -> Iterator[tuple[tuple[Any, str], Any]]:
    """The functions and classes that other models have, too: those of the modules' classes, of their files, and of torch."""
    classes = {cls for module in model.modules() for cls in type(module).__mro__ if issubclass(cls, nn.Module)}
    files = {sys.modules.get(cls.__module__) for cls in classes} - {None}
    for owner in (*classes, *files, torch, nn.functional):
        for name, value in list(vars(owner).items()):
            if callable(value):
                yield (owner, name), value


def _equal(these: Attributes, those: Attributes) -> bool:
    return these.keys() == those.keys() and all(value is those[key] for key, value in these.items())


def _sums(model: nn.Module) -> Iterator[tuple[str, float]]:
    """Of the sizes of each weight's entries: one whose values stay has it again. NaN of a weight that is stored otherwise."""
    for name, weight in model.named_parameters():
        plain = type(weight) is nn.Parameter and weight.is_floating_point()
        yield name, float(weight.detach().abs().sum(dtype=torch.float64)) if plain else math.nan
