"""What docs/adding.md shows works as it stands, and mistakes in a user's own file are one sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mpcore.precision  # noqa: F401  registers the modes
from mpcore.plugin.own import load
from mpcore.registry import precisions, workloads
from mpcore.train import TrainStep
from mpcore.workloads import WorkloadError

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent
PLAIN, CLASSIFIER, MODE = ("my_models.py", "stripes"), ("my_classifier.py", "first-token"), ("my_modes.py", "bf16-clipped")


@pytest.fixture
def files(tmp_path):
    """The files that the guide shows, by name."""
    text = (ROOT / "docs" / "adding.md").read_text()
    shown = {m[1]: m[0] for m in re.findall(r"```python\n(# (\S+)\n.*?)```", text, flags=re.DOTALL)}
    for name, content in shown.items():
        (tmp_path / name).write_text(content)
    return {name: tmp_path / name for name in shown}


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_guide_shows_three_files(files):
    assert sorted(files) == sorted([PLAIN[0], CLASSIFIER[0], MODE[0]])


@pytest.mark.parametrize(("file", "name"), [PLAIN, CLASSIFIER])
def test_a_workload_of_the_guide_is_measured_at_the_first_try(files, file, name):
    done = run(
        "benchmarks", "--mp-load", files[file], "--mp-workload", name, "--mp-precision", "fp32,bf16-amp", "--mp-device", "cpu"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name} (tiny, eager" in done.stdout
    assert re.search(r"6 passed", done.stdout)


@pytest.mark.parametrize(("file", "name"), [PLAIN, CLASSIFIER])
def test_a_workload_of_the_guide_keeps_the_contract(files, file, name):
    done = run(
        "--pyargs",
        "mpcore.contract",
        "--mp-load",
        files[file],
        "--mp-workload",
        name,
        "--mp-precision",
        "fp32,fp16-amp,bf16-manual",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout


def test_a_mode_of_the_guide_is_measured_with_a_workload_of_the_guide(files):
    done = run(
        "benchmarks", "-m", "speed or numerics", "--mp-load", files[PLAIN[0]], "--mp-load", files[MODE[0]],
        "--mp-workload", "stripes", "--mp-precision", MODE[1], "--mp-device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_ini_option_loads_too(files, tmp_path):
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmp_load = {PLAIN[0]}\n")
    (tmp_path / "test_own.py").write_text(
        "import pytest\n\n@pytest.mark.numerics\ndef test_own(case):\n    assert case.workload == 'stripes'\n"
    )
    done = run("-p", "mpcore.plugin", "test_own.py", "--mp-workload", "stripes", "--mp-precision", "fp32", cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def registries(monkeypatch):
    """What a test registers is forgotten after it."""
    for registry in (workloads, precisions):
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def changed(path, shown, wrong):
    text = path.read_text()
    assert shown in text
    path.write_text(text.replace(shown, wrong))
    return path


LOSS = 'return cross_entropy(model(batch["x"]), batch["label"])'

AT_ONCE = {
    "a missing method": ("def predict(self", "def guess(self", "workload 'stripes' lacks the method predict"),
    "a missing attribute": ('    unit = "rows"\n', "", "workload 'stripes' lacks the attribute unit"),
    "a name that is taken": ('"stripes"', '"bert-imdb"', "two workloads are named 'bert-imdb': BertImdb and Stripes"),
    "a name with a space": ('"stripes"', '"my stripes"', "workload 'my stripes' cannot be named so"),
    "one size only": (', "full": 1.0}', "}", "tolerances is {'tiny': 5.0}: expected a value for 'tiny' and one for 'full'"),
    "no subclass": ("class Stripes(Workload)", "class Stripes", "is a Stripes: expected a subclass of Workload"),
    "a syntax error": ("import torch\n", "import torch torch\n", "--mp-load my_models.py, line 2: invalid syntax"),
    "an import that fails": ("import torch\n", "import torch, nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
    "nothing registered": ("@workloads.register\n", "", "registers nothing: expected @workloads.register"),
}


@pytest.mark.parametrize(("shown", "wrong", "sentence"), AT_ONCE.values(), ids=AT_ONCE.keys())
def test_a_mistake_is_said_when_the_file_is_loaded(files, registries, shown, wrong, sentence):
    with pytest.raises(pytest.UsageError) as refused:
        load(changed(files[PLAIN[0]], shown, wrong))
    assert sentence in str(refused.value)


def use(workload):
    batch = next(workload.split("train", CPU).batches(32))
    step = TrainStep(workload, precisions["fp32"](), CPU)
    step(batch)
    step.predict(batch)


LATER = {
    "rows that disagree": (
        '"label": label})',
        '"label": label[1:]})',
        "data() failed: the columns of a split must have equally",
    ),
    "no split": ('return Split({"x": x, "label": label})', "return x", "data('train') returned a tensor of shape (960, 64)"),
    "a loss of each sample": (LOSS, 'return model(batch["x"]).sum(-1)', "loss() returned a tensor of shape (32,)"),
    "a loss of nothing": (LOSS, "return torch.zeros(())", "loss() returned a tensor that does not depend on the model"),
    "a loss that is a number": (LOSS, "return 0.5", "loss() returned float 0.5: expected the batch's mean, a 0-dim tensor"),
    "a wrong device": (LOSS, LOSS.replace('["label"]', '["label"].to("meta")'), "loss() failed: "),
    "a key that is not there": (
        '(batch["x"]).argmax',
        '(batch["y"]).argmax',
        "predict() failed: KeyError: 'y' (my_models.py, line ",
    ),
    "one prediction": (
        ".argmax(-1)",
        ".argmax()",
        "predict() returned a tensor of shape () and torch.int64: expected a tensor of 32 rows",
    ),
    "a model that fails": ("width = {", "width = {}[0] or {", "build_model() failed: KeyError: 0 (my_models.py, line "),
}


@pytest.mark.parametrize(("shown", "wrong", "sentence"), LATER.values(), ids=LATER.keys())
def test_a_mistake_is_said_when_a_method_is_called(files, registries, shown, wrong, sentence):
    load(changed(files[PLAIN[0]], shown, wrong))
    workload = workloads["stripes"]("tiny")
    with pytest.raises(WorkloadError) as refused:
        use(workload)
    assert str(refused.value).startswith("stripes: ")
    assert sentence in str(refused.value)


def test_a_mistake_fails_its_case_without_a_traceback(files):
    path = changed(files[PLAIN[0]], LOSS, "return batch['x'].sum(-1)")
    done = run("benchmarks", "-m", "numerics", "--mp-load", path, "--mp-workload", "stripes", "--mp-precision", "fp32")
    assert done.returncode == 1
    assert "stripes: loss() returned a tensor of shape (32,)" in " ".join(done.stdout.split()).replace("(16,)", "(32,)")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["nowhere.py", "benchmarks"])
def test_a_file_that_is_none_is_named(name):
    with pytest.raises(pytest.UsageError, match=f"{name}': expected a Python file that registers a workload or a mode"):
        load(Path(name))
