"""Files below tests/ whose tables the docs show."""

import importlib.util
from pathlib import Path
from types import ModuleType

from generator.runs import ROOT


def script(name: str) -> ModuleType:
    """A file below tests/, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "tests" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
