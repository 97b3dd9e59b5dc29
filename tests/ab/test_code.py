"""Whether base and head run the same code, and each its own."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stub
import torch
from scripted import DEFAULTS, Script, compared
from test_ab_command import ROOT, ab

from mpcore.ab import Checkout, compare
from mpcore.ab.code import SAME, check_code
from mpcore.commands.ab import exit_code
from mpcore.records import Case, Comparison, Loaded, LoadedFile, Selection
from mpcore.report.documents import pairs_document
from mpcore.report.render import render
from mpcore.runner.case_code import _hash, _of_others, code_of_case
from mpcore.runner.loaded import loaded
from mpcore.selection import SelectionError


def of(sha256="1", reachable="2", **changed):
    files = (LoadedFile(path="mine/model.py", sha256=sha256),)
    later = (LoadedFile(path="mine/later.py", sha256=reachable),)
    return Loaded(files=files, reachable=later, **({"wheels": {"timm": "1.0 abc"}} | changed))


def coded(base, head, **options):
    script = Script({"a": 0.001}, {"a": 0.001})
    script.loaded = {"base": base, "head": head}
    return compared(script, measure=lambda *asked: {}, **options)[0]


def test_the_same_code_is_not_timed():
    comparison = coded(of(), of(), time_all=False)
    assert (comparison.by, comparison.statuses, exit_code(comparison)) == ("code", {"same"}, 0)
    assert comparison.cases[0].pairs == ()
    assert comparison.head.loaded == of()
    assert f"{SAME}: 1 file that were loaded, and 1 wheel" in render(pairs_document(comparison), "terminal")


@pytest.mark.parametrize("head", [of("3"), of(reachable="3"), of(wheels={"timm": "1.1 abc"}), None])
def test_what_differs_may_yet_be_loaded_or_is_not_known_is_timed(head):
    comparison = coded(of(), head, time_all=False)
    assert (comparison.by, len(comparison.cases[0].pairs)) == ("time", 6)


def test_a_machine_can_be_tried_with_one_code():
    assert coded(of(), of()).by == "time"


class TestOneFileForBoth:
    """Of a package that is installed as editable, from another tree than both or than one of them."""

    @pytest.fixture
    def sides(self, tmp_path):
        for side in ("base", "head"):
            (tmp_path / side / "mine").mkdir(parents=True)
            (tmp_path / side / "mine" / "model.py").write_text("WIDTH = 1\n")
            (tmp_path / side / "mine" / "kernel.cu").write_text("// one\n")
        (tmp_path / "head" / "mine" / "_C.so").write_bytes(b"built")
        return tuple(Checkout(side, tmp_path / side) for side in ("base", "head"))

    def both(self, sides, name):
        """Loaded from the tree of head."""
        place = sides[1].tree / "mine" / name
        base = Loaded(files=(LoadedFile(path=str(place), sha256="1", place=str(place)),))
        return base, Loaded(files=(LoadedFile(path=f"mine/{name}", sha256="1"),))

    @pytest.mark.parametrize(("loaded_", "changed"), [("model.py", "model.py"), ("_C.so", "kernel.cu")])
    def test_that_differs_is_refused_by_name(self, sides, loaded_, changed):
        check_code(sides, self.both(sides, loaded_))
        (sides[0].tree / "mine" / changed).write_text("another")
        with pytest.raises(SelectionError, match=rf"have both loaded .*head/mine/{loaded_}, though mine/{changed} differs"):
            check_code(sides, self.both(sides, loaded_))

    def test_of_a_folder_that_is_no_root_the_package_is_missing(self, sides):
        """As where the package is named in place of its tree."""
        base, head = sides
        for side in (base, head):
            (side.tree / "mine" / "__init__.py").touch()
        inside = Checkout("base", base.tree / "mine")
        with pytest.raises(SelectionError, match=r"base/mine holds no mine/__init__.py, and .*: expected the root of a tree"):
            check_code((inside, head), self.both((inside, head), "model.py"))
        check_code(sides, self.both(sides, "model.py"))

    def test_that_only_a_step_loads_is_refused_after_the_first_pair(self, sides):
        """As an extension that `build()` imports: by then the cases are listed."""
        (sides[0].tree / "mine" / "kernel.cu").write_text("another")
        script = Script({"a": 0.001}, {"a": 0.001})
        after = dict(zip(("base", "head"), self.both(sides, "_C.so"), strict=True))
        script.loads = lambda name: after[name] if script.log else of()
        with pytest.raises(SelectionError, match=r"have both loaded .*_C.so, though mine/kernel.cu differs"):
            compare(*sides, Selection(), DEFAULTS, start=script.start)
        assert len(script.pairs) == 1

    def test_of_each_tree_its_own_is_right(self, sides):
        (sides[0].tree / "mine" / "model.py").write_text("another")
        own = Loaded(files=(LoadedFile(path="mine/model.py", sha256="1"),))
        check_code(sides, (own, own))


def two_trees(tmp_path, folder, file="model.py", **options):
    """Whose package `mine` lies in `folder`, and differs in a file."""
    for side in ("base", "head"):
        differs = tmp_path / side / folder / "mine" / file
        differs.parent.mkdir(parents=True)
        differs.write_text(f"WIDTH = '{side}'\n")
        (tmp_path / side / folder / "mine" / "__init__.py").touch()
    return tuple(Checkout(side, tmp_path / side, **options) for side in ("base", "head"))


class TestOneFileOfAnImage:
    """Two commits run under one command, whose container holds the project."""

    PLACE = "/app/mine/model.py"

    @pytest.fixture(params=["", "src", "lib", "parts/core/python"])
    def sides(self, request, tmp_path):
        return two_trees(tmp_path, request.param, command=("docker", "run", "IMAGE"))

    def baked(self, place=PLACE, sha256="1"):
        return Loaded(files=(LoadedFile(path=place, sha256=sha256, place=place),))

    def test_that_differs_between_the_trees_is_refused_by_name(self, sides):
        with pytest.raises(SelectionError, match=r"have both loaded /app/mine/model.py, though .*mine/model.py differs"):
            check_code(sides, (self.baked(), self.baked()))

    def test_of_two_images_each_has_its_own(self, sides):
        check_code(sides, (self.baked(), self.baked(sha256="2")))

    @pytest.mark.parametrize("place", ["/app/mine/other.py", "/app/model.py"])
    def test_of_another_name_is_of_neither_tree(self, sides, place):
        check_code(sides, (self.baked(place), self.baked(place)))

    def test_that_is_the_same_in_both_trees_is_right(self, sides):
        for file in sides[0].tree.rglob("model.py"):
            shutil.copy(file, sides[1].tree / file.relative_to(sides[0].tree))
        check_code(sides, (self.baked(), self.baked()))

    def test_of_another_package_of_that_name_is_none_of_it(self, sides):
        """The one that differs counts where there are two."""
        for side in sides:
            other = side.tree / "a" / "mine"
            other.mkdir(parents=True)
            for name in ("__init__.py", "model.py"):
                (other / name).touch()
        self.test_that_differs_between_the_trees_is_refused_by_name(sides)

    def test_of_a_package_that_is_loaded_may_be_loaded_yet(self, sides):
        """As by an import in `build()`."""
        init, model = (self.baked(f"/app/mine/{name}").files for name in ("__init__.py", "model.py"))
        later = Loaded(files=init, reachable=model)
        with pytest.raises(SelectionError, match=r"may both load /app/mine/model.py, though .*mine/model.py differs"):
            check_code(sides, (later, later))
        shared = Loaded(files=self.baked("/app/tool.py").files, reachable=(*init, *model))  # whose import finds the tree's own
        check_code(sides, (shared, shared))
        found = shared.model_copy(update={"importable": ("/app/mine/__init__.py",)})
        with pytest.raises(SelectionError, match=r"may both load /app/mine/model.py, though .*mine/model.py differs"):
            check_code(sides, (found, found))


@pytest.mark.parametrize("folder", [".hidden", "env/lib/python3.11/site-packages"])
def test_what_is_hidden_or_in_an_environment_is_no_package_of_a_tree(tmp_path, folder):
    image = TestOneFileOfAnImage()
    check_code(two_trees(tmp_path, folder), (image.baked(), image.baked()))


class TestOneWheelForBoth:
    """A package that is installed, and that the trees hold in source."""

    def installed(self, package="mine", version="1.0 abc"):
        return Loaded(files=(), wheels={"Mine": version}, packages={package: "Mine"})

    @pytest.mark.parametrize("folder", ["", "lib", "parts/core/python"])
    @pytest.mark.parametrize("file", ["model.py", "kernels/add.cu"])
    def test_that_differs_between_the_trees_is_refused_by_name(self, tmp_path, folder, file):
        sides = two_trees(tmp_path, folder, file)
        differs = Path(folder, "mine", file)
        with pytest.raises(SelectionError, match=rf"have both loaded the wheel Mine 1.0, though {differs} differs"):
            check_code(sides, (self.installed(), self.installed()))

    def test_of_two_builds_each_has_its_own(self, tmp_path):
        check_code(two_trees(tmp_path, ""), (self.installed(), self.installed(version="1.0 def")))

    def test_that_neither_has_loaded_is_right(self, tmp_path):
        """As where each loads its tree's."""
        own = self.installed().model_copy(update={"packages": {}})
        check_code(two_trees(tmp_path, ""), (own, own))

    def test_of_a_package_that_is_the_same_in_both_trees_is_right(self, tmp_path):
        sides = two_trees(tmp_path, "", "notes.md")
        for side in sides:
            (side.tree / "other.py").write_text(side.name)
        check_code(sides, (self.installed(), self.installed()))

    def test_of_a_namespace_is_that_package_of_it(self, tmp_path):
        sides = two_trees(tmp_path, "lib/ours")
        check_code(sides, (self.installed("theirs/mine"), self.installed("theirs/mine")))
        with pytest.raises(SelectionError, match=r"though lib/ours/mine/model.py differs"):
            check_code(sides, (self.installed("ours/mine"), self.installed("ours/mine")))


class TestTwoEnvironmentsOfOneTree:
    """As --base-python and --head-python name them."""

    def compared(self, tmp_path, head, **options):
        script = Script({"a": 0.001}, {"a": 0.001})
        given = iter((of(), head))
        script.answers["tree"], script.listings["tree"] = script.answers["head"], script.listings["head"]
        script.loads = lambda name: next(given, head)
        sides = (Checkout("main", tmp_path / "tree", python=f"/{name}/python") for name in ("base", "head"))
        return compare(*sides, Selection(), DEFAULTS, start=script.start, measure=lambda *asked: {}, **options)

    def test_that_are_the_same_are_refused_with_a_file_of_it(self, tmp_path):
        sentence = (
            rf"base \(/base/python\) and head \(/head/python\) have both loaded {tmp_path}/tree/mine/model.py, "
            r"and the same packages: expected two trees, or environments that differ"
        )
        with pytest.raises(SelectionError, match=sentence):
            self.compared(tmp_path, of(), time_all=False)

    def test_with_another_package_are_timed(self, tmp_path):
        assert self.compared(tmp_path, of(wheels={"timm": "1.1 abc"}), time_all=False).by == "time"


def test_what_measured_the_cases_is_kept_with_its_kernels():
    script = Script({"a": 0.001}, {"a": 0.001})
    script.loads = lambda name: of(kernels=("key",) if script.log else ())
    assert compared(script)[0].head.loaded.kernels == ("key",)


def test_a_kernel_that_is_generated_otherwise_is_other_code(monkeypatch, tmp_path):
    """Its files are the same, and so is what a step dispatches."""

    class CompiledKernel:
        hash = "one"

    monkeypatch.setitem(sys.modules, "triton", sys)
    case = Case(workload="resnet18-mnist", precision="fp32", size="tiny")
    none = code_of_case(case, tmp_path)
    kernel = CompiledKernel()
    one = code_of_case(case, tmp_path)
    kernel.hash = "other"
    assert len({none, one, code_of_case(case, tmp_path)}) == 3


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("x = 1\n", "x  =  1  # a comment\n\n", True),
        ("x = 1\n", "x = 2\n", False),
        ("def f(x):\n    # type: (int) -> int\n    return x\n", "def f(x):\n    return x\n", False),
        ("no module", "no  module", False),
    ],
)
def test_comments_and_layout_are_no_code(tmp_path, before, after, same):
    files = [tmp_path / name for name in ("before.py", "after.py")]
    for file, text in zip(files, (before, after), strict=True):
        file.write_text(text)
    hashes = [_hash(file, str(number)) for number, file in enumerate(files)]
    assert (hashes[0] == hashes[1]) is same


def test_what_one_rank_alone_has_loaded_is_code_of_the_case(monkeypatch, tmp_path):
    case = Case(workload="resnet18-mnist", precision="fp32", size="tiny", strategy="ddp", gpus=2)
    codes = []
    for others in ([], ["of rank 1"]):
        monkeypatch.setattr("mpcore.device.agreement.gathered", lambda own, others=others: [own, *(others or [own])])
        codes.append(code_of_case(case, tmp_path))
    assert codes[1] == f"{codes[0]} of rank 1"


def test_a_strategy_is_the_code_of_its_own_cases():
    import mpcore.strategies  # noqa: F401

    case = Case(workload="resnet18-mnist", precision="fp32", size="tiny", strategy="fsdp", gpus=2)
    names = {"mpcore.strategies.ddp", "mpcore.strategies.fsdp"}
    assert _of_others(case) & names == {"mpcore.strategies.ddp"}


KERNEL = """
import torch, triton
import triton.language as tl


@triton.jit
def add(x, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(x + at, tl.load(x + at) + NUMBER)


add[(1,)](torch.zeros(16, device="cuda"), 16)
"""


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_two_kernels_of_one_name_have_two_keys(tmp_path):
    """By Triton as it is installed, and so in a graph nobody tells them apart."""
    modules, keys = [], []
    for number in ("1.0", "2.0"):
        file = tmp_path / f"kernel_{number[0]}.py"
        file.write_text(KERNEL.replace("NUMBER", number))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        modules.append(importlib.util.module_from_spec(spec))
        spec.loader.exec_module(modules[-1])
        keys.append(set(loaded(tmp_path, later=False).kernels))
    assert keys[0]
    assert len(keys[1] - keys[0]) == 1


def test_what_a_process_has_loaded_and_may_load_yet(tmp_path, monkeypatch):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "lazy.py").write_text("import outside, sqlite3\nfrom other.part import x\n")
    (tmp_path / "pack" / "kernel.cu").write_text("")
    (tmp_path / "outside.py").write_text("")
    (tmp_path / "test_it.py").write_text("")
    (tmp_path / "notes.md").write_text("")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere" / "other"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").write_text("")
    (elsewhere / "part.py").write_text("")
    monkeypatch.syspath_prepend(elsewhere.parent)
    monkeypatch.syspath_prepend(tmp_path)
    import pack  # noqa: F401

    try:
        found = loaded(tmp_path)
    finally:
        del sys.modules["pack"]
    assert "pack/__init__.py" in [file.path for file in found.files]
    later = [file.path for file in found.reachable if not Path(file.path).is_absolute()]
    assert later == ["outside.py", "pack/kernel.cu", "pack/lazy.py"]
    assert {str(elsewhere / name) for name in ("__init__.py", "part.py")} <= {file.place for file in found.reachable}
    assert {*found.importable} >= {str(elsewhere / "__init__.py"), str(tmp_path / "outside.py")}
    assert not any("sqlite3" in place for place in found.importable)
    assert not any("torch" in Path(file.path).parts for file in found.files)
    assert found.wheels["torch"].startswith("2.")


def test_a_wheel_in_a_folder_of_its_own_is_told_by_its_record(tmp_path):
    """As `pip install --target` makes it: what pip has not written down there is a file as any."""
    site = tmp_path / "site"
    packages = ("written", "written/inner", "unused", "spread/part")
    for package in packages:
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").touch()
    (site / "beside.py").touch()
    info = site / "written-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: written\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{package}/__init__.py,sha256=abc,0\n" for package in packages))
    code = (
        "import written.inner, spread.part, beside; from pathlib import Path; from mpcore.runner.loaded import loaded; "
        "found = loaded(Path.cwd()); print(found.wheels['written'], *(file.path for file in found.files)); "
        "print(*sorted(name for name, wheel in found.packages.items() if wheel == 'written'))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    first, loaded_ = done.stdout.splitlines()
    version, _, *files = first.split()
    assert version == "1.0"
    assert "site/beside.py" in files
    assert "site/written/__init__.py" not in files
    assert loaded_.split() == ["spread/part", "written"]


@pytest.mark.parametrize("variable", ["TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"])
def test_what_a_compiler_keeps_in_the_tree_is_no_file_of_it(tmp_path, monkeypatch, variable):
    """Both sides load it from one place, and what it is stays known. A cache that holds the tree leaves nothing out."""
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "generated.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / ".cache")
    import generated  # noqa: F401

    try:
        for cache, listed in ((".cache", False), (".", True)):
            monkeypatch.setenv(variable, str(tmp_path / cache))
            found = loaded(tmp_path)
            assert (".cache/generated.py" in [file.path for file in (*found.files, *found.reachable)]) == listed
            assert (hashlib.sha256(b"").hexdigest() in found.kernels) != listed
    finally:
        del sys.modules["generated"]


def test_trees_that_differ_by_a_test_alone_need_no_timing(tmp_path):
    """In processes as they are."""
    for side in ("base", "head"):
        shutil.copytree(ROOT / "mpcore", tmp_path / side / "mpcore", ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / side / "test_it.py").write_text(side)
    done = ab(*(str(tmp_path / side) for side in ("base", "head")), "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    comparison = Comparison.model_validate_json((tmp_path / "out.json").read_text())
    assert comparison.by == "code"
    assert "mpcore/runner/loaded.py" in [file.path for file in comparison.head.loaded.files]


def test_the_command_times_again_what_is_asked_for(repository):
    stub.tree(repository, {"a": 0.001}, loaded=of().model_dump(mode="json"))
    assert "No timing is needed of" in ab(str(repository), str(repository)).stdout
    assert "pair 6 of 6" in ab(str(repository), str(repository), "--time-all").stderr
