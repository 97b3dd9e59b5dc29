"""What is installed: the wheel holds the whole package, its suite and its contract, and runs in an empty folder."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed_and_so_is_the_suite():
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "mpcore").rglob("__init__.py")}
    assert set(SETTINGS["tool"]["setuptools"]["packages"]) == folders | {"mpcore.suite"}


def test_every_file_that_is_not_python_is_package_data():
    data = SETTINGS["tool"]["setuptools"]["package-data"]
    listed = {
        path for package, patterns in data.items() for p in patterns for path in (ROOT / package.replace(".", "/")).glob(p)
    }
    others = {path for path in (ROOT / "mpcore").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert listed == others


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked where nothing else of the project is."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a copy: to build leaves files behind
    for name in ("mpcore", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheel"), str(source)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = (folder / "wheel").glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, capture_output=True
    )
    return folder / "site"


def run(installed, folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(installed)}
    environment.pop("MPCORE_DATA", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--mp-device", "cpu", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_suite_of_the_wheel_runs_in_an_empty_folder(installed, tmp_path):
    chosen = ("-m", "numerics", "--mp-workload", "ncf-movielens", "--mp-precision", "fp32,bf16-amp")
    done = run(installed, tmp_path, "--pyargs", "mpcore.suite", *chosen, "--benchmark-json", "run.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert (tmp_path / "run.json").is_file()


def test_the_contract_of_the_wheel_runs_in_an_empty_folder(installed, tmp_path):
    chosen = ("--mp-workload", "ncf-movielens", "--mp-precision", "bf16-amp", "-k", "storage or settings")
    done = run(installed, tmp_path, "--pyargs", "mpcore.contract", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


def test_the_page_of_the_wheel_has_its_files(installed, tmp_path):
    saved = next((ROOT / "docs" / "runs").glob("imdb.json"))
    command = [sys.executable, "-m", "mpcore", "report", str(saved), "-o", "page.html"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, check=True, capture_output=True)
    assert "plotly" in (tmp_path / "page.html").read_text()


def test_a_build_of_torch_that_is_there_is_not_replaced():
    """Nightlies and vendors' builds are pre-releases, which only a bound with one in it admits."""
    (torch,) = (Requirement(text) for text in SETTINGS["project"]["dependencies"] if text.startswith("torch"))
    for version in ("2.11.0a0+0e54b8f3", "2.12.0.dev20260401+cu130", "2.13.0"):
        assert torch.specifier.contains(version)
    assert not torch.specifier.contains("2.10.0")


@pytest.mark.parametrize(
    ("there", "given", "used"),
    [
        (["python", "python3"], [], "{bin}/python"),
        (["python3"], [], "python3"),
        (["python", "python3"], ["PYTHON=python3.12"], "python3.12"),
    ],
)
def test_make_bench_uses_the_python_that_is_active_or_the_one_that_is_named(tmp_path, there, given, used):
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    command = [shutil.which("make"), "--no-print-directory", "--dry-run", "--always-make", "bench", "VENV=", "ARGS=", *given]
    environment = {"PATH": str(tmp_path)}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{used.format(bin=tmp_path)} -m pytest benchmarks/"


def test_make_bench_refuses_an_environment_that_is_not_there():
    said = subprocess.run(["make", "bench", "VENV=/no/where"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "make bench VENV=/no/where: there is no environment: expected a folder with bin/python in it" in said.stderr
    assert "pip install" not in said.stdout


@pytest.mark.parametrize(("arguments", "installs"), [((), True), (("VENV={there}",), False)])
def test_make_bench_installs_nothing_into_an_environment_that_is_there(tmp_path, arguments, installs):
    there = tmp_path / "bin" / "python"
    there.parent.mkdir()
    there.touch()
    given = [argument.format(there=tmp_path) for argument in arguments]
    command = ["make", "--dry-run", "--always-make", "bench", *given]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ("pip install" in said) is installs
    assert "-m pytest benchmarks/" in said
