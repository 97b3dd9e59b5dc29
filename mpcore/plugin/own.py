"""Workloads and modes of a user's own, from the files that `--mp-load` and `mp_load` name."""

import importlib.util
import sys
from pathlib import Path

import pytest


def load_own(config: pytest.Config) -> None:
    """Raises UsageError for a file that cannot be imported, or that registers nothing."""
    named = [config.invocation_params.dir / path for path in config.getoption("mp_load")]
    for path in dict.fromkeys(Path(p).resolve() for p in [*config.getini("mp_load"), *named]):
        load(path)


def load(path: Path) -> None:
    from mpcore import precision as _modes  # noqa: F401  (a name that is taken is taken by one of these)
    from mpcore import workloads as _workloads  # noqa: F401
    from mpcore.cause import cause
    from mpcore.registry import precisions, workloads

    name = f"mp_load_{path.stem}"
    if str(path) == getattr(sys.modules.get(name), "__file__", None):
        return
    if not path.is_file() or path.suffix != ".py":
        raise pytest.UsageError(f"--mp-load {str(path)!r}: expected a Python file that registers a workload or a mode")
    if name in sys.modules:
        raise pytest.UsageError(f"--mp-load {str(path)!r}: {sys.modules[name].__file__} has the same name; rename one of them")
    before = len(workloads.names()) + len(precisions.names())
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: a dataclass in it looks itself up there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise pytest.UsageError(f"--mp-load {path.name}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise pytest.UsageError(f"--mp-load {path.name}: {cause(error)}") from error
    if len(workloads.names()) + len(precisions.names()) == before:
        raise pytest.UsageError(
            f"--mp-load {path.name} registers nothing: expected @workloads.register or @precisions.register"
        )
