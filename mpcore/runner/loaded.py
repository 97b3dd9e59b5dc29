"""What this process has loaded, and may load yet: whether base and head can differ at all hangs on nothing else.

A wheel that was installed is told by its version and the hashes of its files, which pip has written down. An editable install
is none: its files are those of somebody's tree.
"""

import ast
import functools
import gc
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mpcore.records import Loaded, LoadedFile
from mpcore.selection import COMPILE_CACHE

SYSTEM = tuple(map(Path, ("/usr", "/lib", "/lib64", "/bin", "/opt", "/dev", "/memfd:", "/nix")))
"""Where libraries of the machine lie, which both sides share."""
TEXTS = {".pyc", ".md", ".rst"}
"""No code, and no settings either."""
SETTINGS = {".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".txt", ".cu", ".cuh", ".cpp", ".cc", ".c", ".h", ".hpp"}
"""What a module that is in no package may read beside it."""
KERNELS = {"CompiledKernel", "StaticallyLaunchedCudaKernel", "StaticallyLaunchedTritonKernel"}
"""What Triton and torch call a compiled kernel, each with its key in the cache as `hash`."""
CACHES = (COMPILE_CACHE, "TRITON_CACHE_DIR")
"""Variables that name where compilers keep what they generate."""
ELSEWHERE = re.compile(r"^\.\.|__pycache__|\.dist-info/")
"""Lines of a RECORD that are another in each environment."""
PACKAGES = re.compile(r"^([^,]+)/__init__\.py,", re.MULTILINE)
"""Lines of a RECORD that name a package."""
MAPPED = re.compile(r"(/\S.*\.so[.\d]*)$", re.MULTILINE)


def loaded(tree: Path, *, later: bool = True) -> Loaded:
    """Of a process that runs in `tree`, at this moment. later: with what it may load yet, and wheels."""
    _origin.cache_clear()  # what Python finds may have changed
    places = {place.resolve() for place in _places()}
    caches = _caches(tree)
    generated = {place for place in places if _within(place, caches)}
    own = places - generated
    reachable = {place for place in _reachable(tree, own) if not _within(place, caches)} if later else set()
    named = {name for place in own | reachable if later and place.suffix == ".py" for name in _names(place)}
    found = {origin for name in named if (origin := _origin(name)) and not _installed(origin)}
    return Loaded(
        files=tuple(_file(place, tree) for place in sorted(own)),
        reachable=tuple(_file(place, tree) for place in sorted(reachable - own)),
        wheels=wheels() if later else {},
        packages=dict(_packages()) if later else {},
        importable=tuple(sorted(str(place) for place in map(Path.resolve, found) if place in reachable)),
        kernels=tuple(sorted({*_kernels(), *(_file(place, tree).sha256 for place in generated)})),
    )


def _within(place: Path, folders: Sequence[Path]) -> bool:
    return any(place.is_relative_to(folder) for folder in folders)


def _caches(tree: Path) -> list[Path]:
    """Folders of compilers, wherever they lie: what is in them is no file of a tree. One that holds the tree counts as none."""
    folders = [Path(folder).resolve() for name in CACHES if (folder := os.environ.get(name))]
    return [folder for folder in folders if not tree.is_relative_to(folder)]


def _places() -> Iterator[Path]:
    """Of modules and shared objects, but for those that are Python's, the system's, or a wheel's."""
    names = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    found = {Path(name) for name in names if name} | set(_shared_objects())
    for place in found:
        if place.is_absolute() and place.is_file() and not _installed(place):
            yield place


def _shared_objects() -> Iterator[Path]:
    """Those that no module has loaded, too, as torch.ops.load_library does. None where there is no /proc."""
    maps = Path("/proc/self/maps")
    for name in set(MAPPED.findall(maps.read_text())) if maps.is_file() else ():
        if not any(Path(name).is_relative_to(folder) for folder in SYSTEM):
            yield Path(name)


@functools.cache
def _installed(place: Path) -> bool:
    return str(place) in _recorded() or any(place.is_relative_to(folder) for folder in _installations())


@functools.cache
def _recorded() -> frozenset[str]:
    """Files that pip has written down of wheels in folders of their own, as `pip install --target` makes them."""
    installations = _installations()
    elsewhere = [of for of in importlib.metadata.distributions() if Path(str(of.locate_file(""))) not in installations]
    # what lies in a tree under development may have a list of its sources, and no RECORD
    return frozenset(str(of.locate_file(file)) for of in elsewhere if of.read_text("RECORD") for file in of.files or ())


@functools.cache
def _installations() -> frozenset[Path]:
    """Where Python and wheels lie, as they are named and with links followed, and torch wherever it lies."""
    named = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    named += [*site.getsitepackages(), site.getusersitepackages()]
    folders = {Path(name) for name in named} | {Path(sys.base_prefix) / "lib"}
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    if torch:
        folders.add(Path(torch).parent)
    return frozenset(folders | {folder.resolve() for folder in folders})


def _file(place: Path, tree: Path) -> LoadedFile:
    sha256 = hashlib.sha256(place.read_bytes()).hexdigest()
    if place.is_relative_to(tree):
        return LoadedFile(path=str(place.relative_to(tree)), sha256=sha256)
    return LoadedFile(path=str(place), sha256=sha256, place=str(place))


def _reachable(tree: Path, own: set[Path]) -> set[Path]:
    """Files that those of `own` may load or read yet."""
    found = set(own)
    new = found
    while new:
        packages = {folder for place in new if (folder := _package(place))}
        whole = {file for folder in packages for file in _below(folder)}
        beside = {
            file for place in new - whole for file in place.parent.iterdir() if file.suffix in SETTINGS and file.is_file()
        }
        imported = {file for place in new if place.suffix == ".py" for file in _imported(place, tree)}
        new = {file.resolve() for file in whole | beside | imported} - found
        found |= new
    return found


def _package(place: Path) -> Path | None:
    """The top folder of the package that a file is in; None for one that is in none."""
    top = None
    for folder in place.parents:
        if not (folder / "__init__.py").is_file():
            break
        top = folder
    return top


@functools.cache
def _below(folder: Path) -> list[Path]:
    return [
        file for file in folder.rglob("*") if file.suffix not in TEXTS and "__pycache__" not in file.parts and file.is_file()
    ]


def _imported(place: Path, tree: Path) -> Iterator[Path]:
    """Modules that a file names in an import, at whatever place in it: of the tree, and where Python finds them."""
    names = _names(place)
    for root in (place.parent, tree, tree / "src"):
        for name in names:
            found = root / f"{name}.py", root / name / "__init__.py"
            yield from (file for file in found if file.is_file() and not _installed(file))
    yield from (origin for name in names if (origin := _origin(name)) and not _installed(origin))


@functools.cache
def _names(place: Path) -> frozenset[str]:
    """The outermost packages that a file names in its imports."""
    try:
        nodes = list(ast.walk(ast.parse(place.read_bytes())))
    except (SyntaxError, ValueError):  # which is no module, though its name is one's
        return frozenset()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return frozenset(name.partition(".")[0] for name in names)


@functools.cache
def _origin(name: str) -> Path | None:
    """The file that an import of an outermost package would load; None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # as of a module that says nothing of where it is from
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def wheels() -> dict[str, str]:
    """All that is installed, torch too, by name: version and a hash of its files as pip wrote them down. What a script in
    `bin` is and when a file was compiled is left out: that differs with the folder of the environment."""
    return {of.name: f"{of.version} {_hash(of.read_text('RECORD') or '')}" for of in importlib.metadata.distributions()}


def _packages() -> Iterator[tuple[str, str]]:
    """The outermost packages that were loaded of wheels, as paths, each with the name of its wheel."""
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for of in importlib.metadata.distributions():
        recorded = set(PACKAGES.findall(of.read_text("RECORD") or ""))
        outermost = (name for name in recorded if str(Path(name).parent) not in recorded)
        yield from ((name, of.name) for name in outermost if str(of.locate_file(f"{name}/__init__.py")) in imported)


def _hash(record: str) -> str:
    lines = [line for line in record.splitlines() if not ELSEWHERE.search(line)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _kernels() -> Iterable[str]:
    if "triton" not in sys.modules:
        return []
    objects = (each for each in gc.get_objects() if type(each).__name__ in KERNELS)
    return (key for each in objects if isinstance(key := getattr(each, "hash", None), str))
