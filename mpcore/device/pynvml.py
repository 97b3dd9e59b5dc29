"""NVML in Python, which the package nvidia-ml-py brings. Where that is missing or broken nothing else is lost: whoever asks is
told so by the error of an NVML that does not answer. So it is with a name that an older or newer one lacks."""

import importlib
import os
from types import ModuleType
from typing import Any


class Missing:
    """In the place of the module. Its error is that of a missing attribute, too, for whoever looks what it has."""

    class NVMLError(AttributeError):
        pass

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise self.NVMLError(self._why)


class Installed:
    """The module as it is. A name that it lacks raises NVML's error, which is that of a missing attribute, too."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._lacking = _lacking(module.NVMLError)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise self._lacking(f"the installed nvidia-ml-py has no {name}") from None


def lacks(error: Exception) -> bool:
    """Whether it is the package that lacks what was asked for, and not the GPU."""
    return isinstance(error, AttributeError)


def text_of(answer: str | bytes) -> str:
    """Some versions answer in bytes."""
    return os.fsdecode(answer)


def imported() -> Any:
    """The module, or what stands in its place."""
    try:
        return Installed(importlib.import_module("pynvml"))
    except Exception as error:  # whatever a broken one raises
        return Missing(f"nvidia-ml-py cannot be imported: {type(error).__name__}: {error}")


def _lacking(nvml_error: type[Exception]) -> type[Exception]:
    def made(cls: type[AttributeError], *args: object) -> AttributeError:
        return AttributeError.__new__(cls, *args)  # NVML's own takes the number of an error

    return type("Lacking", (nvml_error, AttributeError), {"__new__": made, "__str__": AttributeError.__str__})


pynvml = imported()
