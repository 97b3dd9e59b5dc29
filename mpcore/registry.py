"""Names to classes. A class enters its registry by a decorator that stands beside it.

@workloads.register
class BertImdb(Workload):
    name = "bert-imdb"
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar, get_origin

C = TypeVar("C", bound=type)


class UnknownName(ValueError):
    """A name that no class is registered under; the message lists those that are."""


class Registry(Generic[C]):
    """Classes by their `name` attribute, in the order in which they were registered. base: the name of a class that all
    must have above them."""

    def __init__(self, noun: str, base: str | None = None) -> None:
        self.noun = noun
        self.base = base
        self._classes: dict[str, C] = {}

    def register(self, cls: C) -> C:
        """Class decorator. Raises ValueError where the name is missing, no name, or taken by another class, and where
        methods or attributes are missing."""
        name: Any = vars(cls).get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{self.noun} {cls.__qualname__} has no name: expected a class attribute such as name = 'x'")
        if self.base and (name.split() != [name] or any(c in name for c in ",[]:/\\")):
            raise ValueError(
                f"{self.noun} {name!r} cannot be named so: expected a name without spaces, commas, colons and slashes"
            )
        if name in self._classes:
            raise ValueError(f"two {self.noun}s are named {name!r}: {self._classes[name].__qualname__} and {cls.__qualname__}")
        self._check_class(name, cls)
        self._classes[name] = cls
        return cls

    def _check_class(self, name: str, cls: type) -> None:
        if self.base and self.base not in (c.__name__ for c in cls.__mro__):
            raise ValueError(f"{self.noun} {name!r} is a {cls.__qualname__}: expected a subclass of {self.base}")
        if methods := sorted(getattr(cls, "__abstractmethods__", ())):
            raise ValueError(f"{self.noun} {name!r} lacks {_listed('method', methods)}")
        declared = {a: t for c in reversed(cls.__mro__) for a, t in vars(c).get("__annotations__", {}).items()}
        missing = [a for a, t in declared.items() if get_origin(t) is ClassVar and not hasattr(cls, a)]
        if missing:
            raise ValueError(f"{self.noun} {name!r} lacks {_listed('attribute', missing)}")
        mistake: str | None = cls.mistake() if hasattr(cls, "mistake") else None
        if mistake:
            raise ValueError(f"{self.noun} {name!r}: {mistake}")

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


def _listed(noun: str, names: list[str]) -> str:
    return f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"


workloads: Registry[Any] = Registry("workload", "Workload")
precisions: Registry[Any] = Registry("precision", "Precision")
executions: Registry[Any] = Registry("execution")
