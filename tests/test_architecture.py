"""The house stands: a module imports only from floors below its own, and what a report needs works without torch."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import architecture
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mpcore"
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in PACKAGE.rglob("*.py")
}
WITHOUT_TORCH = [
    "ab",
    "calibrate",
    "commands",
    "gate",
    "kernels",
    "matrix",
    "plugin",
    "records",
    "registry",
    "report.documents",
    "report.frame",
    "report.page",
    "report.pictures",
    "report.render",
    "report.summary",
    "parallel.launch",
    "parallel.line",
    "parallel.worker",
    "runner",
    "selection",
    "store",
    "__main__",
]


def imported(path: Path) -> set[str]:
    """The modules of mpcore that a file imports: inside functions, and for types only, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mpcore":
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys() or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "mpcore"}
    return found


def home(module: str) -> str:
    """The package or module right below mpcore that a file belongs to."""
    return module.split(".")[1]


MODULES = [pytest.param(name, path, id=name) for name, path in sorted(FILES.items()) if name != "mpcore"]


def test_every_file_has_a_floor_and_every_floor_its_files():
    assert {home(name) for name in FILES if name != "mpcore"} == {name for names in architecture.FLOORS for name in names}


@pytest.mark.parametrize(("module", "path"), MODULES)
def test_a_file_imports_only_from_below(module, path):
    own = architecture.floor(home(module))
    others = {other for other in imported(path) if other != "mpcore" and home(other) != home(module)}
    assert {other for other in others if architecture.floor(home(other)) >= own} == set()


def test_no_two_files_import_each_other_in_a_circle():
    """Those that are imported for types only included. A package is its `__init__`, which its own files do not import."""
    graph = {name: {other for other in imported(path) if not name.startswith(f"{other}.")} for name, path in FILES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(FILES) <= set(order)


IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"mpcore.{name}")
    if "torch" in sys.modules:
        sys.exit(f"mpcore.{name} imports torch")
"""


def test_they_are_imported_without_torch():
    """One after the other, in one process: the first that imports it is named."""
    ran = subprocess.run([sys.executable, "-c", IMPORT_ALL, *WITHOUT_TORCH], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_readme_shows_the_map_as_it_is():
    assert f"```\n{architecture.listing()}\n```" in (ROOT / "README.md").read_text()


def test_no_module_is_imported_for_its_side_effect():
    """Outside the packages whose `__init__` fills a registry."""
    registries = {f"mpcore.{name}" for name in ("workloads", "precision", "execution", "trainers")}
    found = [
        f"{name}, line {number}"
        for name, path in FILES.items()
        if name not in registries
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "import" in line and "noqa: F401" in line
    ]
    assert found == []


def test_no_two_test_files_share_a_name():
    """They are in no package: pytest would refuse to collect the second, and the files of the suite run beside ours."""
    paths = [path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("test_*.py")]
    assert sorted(path.name for path in paths) == sorted({path.name for path in paths})
