"""NVML in Python, which the package nvidia-ml-py brings. Where that is missing or broken nothing else is lost: whoever asks is
told so by the error of an NVML that does not answer."""

import importlib
from typing import Any


class Missing:
    """In the place of the module. Its error is that of a missing attribute, too, for whoever looks what it has."""

    class NVMLError(AttributeError):
        pass

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise self.NVMLError(self._why)


def imported() -> Any:
    """The module, or what stands in its place."""
    try:
        return importlib.import_module("pynvml")
    except Exception as error:  # whatever a broken one raises
        return Missing(f"nvidia-ml-py cannot be imported: {type(error).__name__}: {error}")


pynvml = imported()
