"""The house stands: a module imports only from floors below its own, and what a report needs works without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mpcore"

FLOORS = {
    9: {"plugin", "contract", "cli", "__main__"},
    8: {"calibrate"},
    7: {"ab"},
    6: {"runner"},
    5: {"measure", "theory"},
    4: {"rivals"},
    3: {"train", "report", "selection"},
    2: {"execution", "profile", "precision", "workloads", "store", "gate"},
    1: {"registry", "stats", "policy", "explain", "kernels", "hardware", "metrics", "flops", "data", "cause"},
    0: {"records"},
}
WITHOUT_TORCH = [
    "records",
    "registry",
    "stats",
    "policy",
    "explain",
    "kernels",
    "store",
    "gate",
    "report.rows",
    "report.terminal",
    "report.pull_request",
    "report.colour",
    "report.markdown",
    "report.baselines",
    "report.beside",
    "report.plots",
    "report.compare",
    "selection",
    "runner",
    "ab",
    "calibrate",
    "cli",
]
SAME_FLOOR = {("contract", "plugin"), ("__main__", "cli")}
"""`contract` is chosen from by the plugin's options; `__main__` is the door of `cli`."""


def floor(module: str) -> int:
    return next(number for number, modules in FLOORS.items() if module in modules)


def imports(path: Path) -> set[str]:
    """The modules and packages of mpcore, by their first name, that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mpcore."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "mpcore":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mpcore."))
    return found


def modules() -> list[tuple[str, Path]]:
    """(first name, file), for every file of the package but its own __init__."""
    files = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]
    return [(p.relative_to(PACKAGE).parts[0].removesuffix(".py"), p) for p in files]


def test_every_module_has_a_floor_and_every_floor_its_modules():
    assert {name for name, _ in modules()} == set().union(*FLOORS.values())


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=str(p.relative_to(PACKAGE))) for n, p in modules()])
def test_a_module_imports_only_from_below(name, path):
    upwards = {i for i in imports(path) - {name} if floor(i) >= floor(name) and (name, i) not in SAME_FLOOR}
    assert not upwards, f"{path.relative_to(PACKAGE)}, floor {floor(name)}, imports {upwards}"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_a_report_needs_no_torch(module):
    code = f"import sys, mpcore.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_imports_no_torch_before_a_case_is_asked_for():
    code = "import sys, mpcore.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
