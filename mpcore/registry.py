"""Names to classes. A class enters its registry by a decorator that stands beside it.

@workloads.register
class BertImdb(Workload):
    name = "bert-imdb"
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

C = TypeVar("C", bound=type)


class UnknownName(ValueError):
    """A name that no class is registered under; the message lists those that are."""


class Registry(Generic[C]):
    """Classes by their `name` attribute, in the order in which they were registered."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._classes: dict[str, C] = {}

    def register(self, cls: C) -> C:
        """Class decorator. Raises ValueError where the name is missing or taken by another class."""
        name: Any = vars(cls).get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.noun} {cls.__qualname__} has no name: expected a class attribute such as name = 'x'")
        if name in self._classes:
            raise ValueError(f"two {self.noun}s are named {name!r}: {self._classes[name].__qualname__} and {cls.__qualname__}")
        self._classes[name] = cls
        return cls

    def __getitem__(self, name: str) -> C:
        self.check([name])
        return self._classes[name]

    def check(self, names: Iterable[str]) -> None:
        """Raises UnknownName for the first name that is not registered."""
        for name in names:
            if name not in self._classes:
                raise UnknownName(f"unknown {self.noun} {name!r}; known are {', '.join(self._classes)}")

    def names(self) -> list[str]:
        return list(self._classes)


workloads: Registry[Any] = Registry("workload")
precisions: Registry[Any] = Registry("precision")
executions: Registry[Any] = Registry("execution")
