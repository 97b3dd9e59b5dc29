"""Files of a user's own, that register workloads, modes, trainers or strategies."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from mpcore.selection import SelectionError

_WORKLOADS: dict[str, tuple[str, ...]] = {}
"""By the name of a file, without folder and ending, those that it has registered."""


class NoFile(SelectionError):
    """A file to load that is not there."""


def load(path: Path) -> None:
    """Imports a file, once. Raises NoFile where there is none, SelectionError where it cannot be imported or registers
    nothing."""
    from mpcore.errors import cause
    from mpcore.precision import precisions  # with its modes: a name that is taken is taken by one of these
    from mpcore.strategies import strategies
    from mpcore.trainers import trainers
    from mpcore.workloads import workloads

    registries = workloads, precisions, trainers, strategies
    name = f"mp_load_{path.stem}"
    if str(path) == getattr(sys.modules.get(name), "__file__", None):
        return
    if not path.is_file() or path.suffix != ".py":
        what = "expected" if path.exists() else "there is no such file; expected"
        raise NoFile(f"--mp-load {str(path)!r}: {what} a Python file that registers a workload, a mode or a trainer")
    if name in sys.modules:
        raise SelectionError(f"--mp-load {str(path)!r}: {sys.modules[name].__file__} has the same name; rename one of them")
    before = [registry.names() for registry in registries]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: a dataclass in it looks itself up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        wrong = Path(error.filename or path)  # or a module that it imports
        place = f"line {error.lineno}" if wrong.name == path.name else f"{wrong.name}, line {error.lineno}"
        raise SelectionError(f"--mp-load {path.name}, {place}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise SelectionError(f"--mp-load {path.name}: {cause(error)}") from error
    if [registry.names() for registry in registries] == before:
        expected = "@workloads.register, @precisions.register, @trainers.register or @strategies.register"
        raise SelectionError(f"--mp-load {path.name} registers nothing: expected {expected}")
    _WORKLOADS[path.stem] = tuple(name for name in workloads.names() if name not in before[0])


def loaded_workloads(files: Iterable[str]) -> list[str]:
    """What files that were loaded have registered; they are given without folder and ending."""
    return [name for file in files for name in _WORKLOADS.get(file, ())]
