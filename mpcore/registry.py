"""Names to classes. A class enters its registry by a decorator that stands beside it:

    @workloads.register
    class BertImdb(Workload):
        name = "bert-imdb"

A registry stands beside the base class of what it holds.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, get_origin

B = TypeVar("B")
C = TypeVar("C", bound=type[Any])


class UnknownName(ValueError):
    """A name that no class is registered under; the message lists those that are."""


class Registry(Generic[B]):
    """Subclasses of `base` by their `name` attribute, in the order in which they were registered.

    noun: what one of them is called. mistake: what is wrong with a class beyond a missing name, method or attribute. expected:
    what a class may be, where that is more than `base`. planned: why something is not there that people look for, by its name.
    """

    def __init__(
        self,
        noun: str,
        base: type[B],
        mistake: Callable[[type[B]], str | None] = lambda cls: None,
        expected: str = "",
        planned: Mapping[str, str] | None = None,
    ) -> None:
        self.noun = noun
        self.base = base
        self.expected = expected or base.__name__
        self._mistake = mistake
        self._planned = dict(planned or {})
        self._classes: dict[str, type[B]] = {}

    def register(self, cls: C) -> C:
        """Class decorator, which returns `cls`. Raises ValueError where the name is missing or no name, where another class has
        it, and where methods or attributes are missing."""
        name: Any = vars(cls).get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.noun} {cls.__qualname__} has no name: expected a class attribute such as name = 'x'")
        if name.split() != [name] or any(c in name for c in ",[]:/\\"):
            raise ValueError(
                f"{self.noun} {name!r} cannot be named so: expected a name without spaces, commas, colons and slashes"
            )
        if name in self._classes:
            raise ValueError(f"two {self.noun}s are named {name!r}: {self._classes[name].__qualname__} and {cls.__qualname__}")
        self._check_class(name, cls)
        self._classes[name] = cls
        return cls

    def _check_class(self, name: str, cls: type[Any]) -> None:
        if not issubclass(cls, self.base):
            raise ValueError(f"{self.noun} {name!r} is a {cls.__qualname__}: expected a subclass of {self.expected}")
        if methods := sorted(getattr(cls, "__abstractmethods__", ())):
            raise ValueError(f"{self.noun} {name!r} lacks {_listed('method', methods)}")
        declared = {a: t for c in reversed(cls.__mro__) for a, t in vars(c).get("__annotations__", {}).items()}
        missing = [a for a, t in declared.items() if get_origin(t) is ClassVar and not hasattr(cls, a)]
        if missing:
            raise ValueError(f"{self.noun} {name!r} lacks {_listed('attribute', missing)}")
        if mistake := self._mistake(cls):
            raise ValueError(f"{self.noun} {name!r}: {mistake}")

    def __getitem__(self, name: str) -> type[B]:
        """Raises UnknownName."""
        self.check([name])
        return self._classes[name]

    def check(self, names: Iterable[str]) -> None:
        """Raises UnknownName for the first name that is not registered."""
        for name in names:
            if name not in self._classes:
                if name in self._planned:
                    raise UnknownName(self._planned[name])
                raise UnknownName(f"unknown {self.noun} {name!r}; known are {', '.join(self._classes)}")

    def plan(self, name: str, why: str) -> None:
        """Says why nothing is registered under `name`."""
        self._planned[name] = why

    @property
    def planned(self) -> Mapping[str, str]:
        """Names that people look for, each with why nothing is registered under it."""
        return self._planned

    def names(self) -> list[str]:
        return list(self._classes)


def _listed(noun: str, names: list[str]) -> str:
    return f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def __getattr__(name: str) -> Any:
    """`from mpcore.registry import workloads, precisions, trainers`: where people's files look for them."""
    packages = {
        "workloads": "mpcore.workloads",
        "precisions": "mpcore.precision",
        "trainers": "mpcore.trainers",
        "executions": "mpcore.execution",
        "strategies": "mpcore.strategies",
    }
    if name not in packages:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(packages[name]), name)
