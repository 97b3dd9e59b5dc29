"""The examples work as they stand and as the guides quote them, and mistakes in a user's own file are one sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mpcore.loading import load
from mpcore.precision import precisions
from mpcore.selection import SelectionError
from mpcore.training.evaluation import evaluate
from mpcore.training.step import TrainStep
from mpcore.workloads import WorkloadError, workloads
from mpcore.workloads.checked import checked_batch, checked_picture, dummy_score

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent
STEPS = {"my_step.py": "letters", "lightning_module.py": "autoencoder", "hf_trainer.py": "fine-tuning"}
SPREAD = ("my_ddp_step.py", "larger-half")
PLAIN, CLASSIFIER, MODE = ("my_model.py", "stripes"), ("my_classifier.py", "first-token"), ("my_mode.py", "bf16-clipped")


EXAMPLES = {path.name: path.read_text() for path in (ROOT / "examples").glob("*.py")}


@pytest.fixture
def files(tmp_path):
    """Copies of the examples, by name."""
    for name, content in EXAMPLES.items():
        (tmp_path / name).write_text(content)
    return {name: tmp_path / name for name in EXAMPLES}


def run(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_guides_quote_all_examples_as_they_are():
    guides = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    quoted = dict(re.findall(r"```python\n# examples/(\S+)\n(.*?)```", guides, flags=re.DOTALL))
    assert quoted == EXAMPLES


@pytest.mark.parametrize(("file", "name"), [PLAIN, CLASSIFIER])
def test_a_workload_of_the_guide_is_measured_at_the_first_try(files, file, name):
    done = run(
        "benchmarks", "--mp-load", files[file], "--mp-workload", name, "--mp-precision", "fp32,bf16-amp", "--mp-device", "cpu"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name} (tiny, eager" in done.stdout
    assert re.search(r"8 passed", done.stdout)


def test_a_spread_step_of_the_guide_is_measured_at_the_first_try(files):
    file, name = SPREAD
    done = run("benchmarks", "--mp-load", files[file], "--mp-gpus", "2", "--mp-device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name} (tiny, eager, own on 2 GPUs" in done.stdout
    assert re.search(r"\d passed", done.stdout)


@pytest.mark.parametrize(("file", "name"), STEPS.items())
def test_a_step_of_the_guide_is_measured_at_the_first_try(files, file, name):
    if file == "lightning_module.py":
        pytest.importorskip("lightning")
    selected = "--mp-load", files[file], "--mp-workload", name, "--mp-precision", "fp32,bf16-amp", "--mp-device", "cpu"
    done = run("benchmarks", *selected, "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name} (tiny, eager" in done.stdout
    assert "6 passed, 2 skipped" in done.stdout
    assert f"{name}: its step is its own: what is compared with FP64, or must predict, comes in as a Workload" in done.stdout


def test_a_trainer_of_the_guide_is_measured_at_the_first_try(files):
    chosen = "--mp-workload", "ncf-movielens", "--mp-precision", "fp32,bf16-amp", "--mp-device", "cpu", "--mp-size", "tiny"
    done = run("benchmarks", "--mp-load", files["my_trainer.py"], "--mp-trainer", "our-stack", *chosen, "--mp-accuracy", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ncf-movielens (tiny, eager, by our-stack" in done.stdout
    assert "8 passed" in done.stdout


def test_a_step_of_the_guide_is_accepted_and_judged_against_that(files, tmp_path):
    def measured(file):
        selected = "--mp-load", files["my_step.py"], "--mp-workload", "letters", "--mp-precision", "fp32,bf16-amp"
        return run("benchmarks", "-m", "work", *selected, "--mp-baselines", tmp_path, "--benchmark-json", tmp_path / file)

    assert measured("first.json").returncode == 0
    accepted = ["accept", str(tmp_path / "first.json"), "--reason", "first", "--baselines", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "mpcore", *accepted], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same" in measured("second.json").stdout
    changed(files["my_step.py"], "nn.Linear(64, 16)", "nn.Sequential(nn.Linear(64, 16), nn.ReLU())")
    done = measured("third.json")
    assert done.returncode == 1
    assert "relu" in done.stdout


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


def test_a_mode_that_clips_is_compared_with_a_clipped_yardstick(files):
    """The gradient of a ResNet is longer than 1."""
    arguments = "--mp-workload", "resnet18-mnist", "--mp-precision", MODE[1], "--mp-device", "cpu", "--mp-size", "tiny"
    done = run("benchmarks", "-m", "numerics", "--mp-load", files[MODE[0]], *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


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
    loaded = {name for name in sys.modules if name.startswith("mp_load_")}
    yield
    for name in [name for name in sys.modules if name.startswith("mp_load_") and name not in loaded]:
        del sys.modules[name]


def changed(path, shown, wrong):
    text = path.read_text()
    assert shown in text
    path.write_text(text.replace(shown, wrong))
    return path


PREDICTION = 'return model(batch["x"]).argmax(-1)'
LOSS = 'return cross_entropy(model(batch["x"]), batch["label"])'

AT_ONCE = {
    "a missing method": ("def predict(self", "def guess(self", "workload 'stripes' lacks the method predict"),
    "a missing attribute": ('    unit = "rows"\n', "", "workload 'stripes' lacks the attribute unit"),
    "a name that is taken": ('"stripes"', '"bert-imdb"', "two workloads are named 'bert-imdb': BertImdb and Stripes"),
    "a name with a space": ('"stripes"', '"my stripes"', "workload 'my stripes' cannot be named so"),
    "one size only": (', "full": 1.0}', "}", "tolerances is {'tiny': 5.0}: expected a value for 'tiny' and one for 'full'"),
    "samples for one size only": (
        '    unit = "rows"\n',
        '    unit = "rows"\n    numerics_rows = {"full": 4}\n',
        "numerics_rows is {'full': 4}: expected a value for 'tiny' and one for 'full'",
    ),
    "classes that are not counted": (
        "    classes = 4\n",
        "",
        "classes is 0: expected how many there are, 2 at least, or a score()",
    ),
    "no subclass": ("class Stripes(Workload)", "class Stripes", "is a Stripes: expected a subclass of Workload"),
    "a recipe of nothing": (
        "epochs=3, batch_size=32",
        "epochs=0, batch_size=32",
        "--mp-load my_model.py: Recipe: epochs: Input should be greater than 0, found 0 (my_model.py, line ",
    ),
    "an end": ("import torch\n", "import torch, sys\nsys.exit(3)\n", "SystemExit: 3 (my_model.py, line 2: sys.exit(3))"),
    "a syntax error": ("import torch\n", "import torch torch\n", "--mp-load my_model.py, line 1: invalid syntax"),
    "an import that fails": ("import torch\n", "import torch, nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
    "nothing registered": ("@workloads.register\n", "", "registers nothing: expected @workloads.register"),
}


@pytest.mark.parametrize(("shown", "wrong", "sentence"), AT_ONCE.values(), ids=AT_ONCE.keys())
def test_a_mistake_is_said_when_the_file_is_loaded(files, registries, shown, wrong, sentence):
    with pytest.raises(SelectionError) as refused:
        load(changed(files[PLAIN[0]], shown, wrong))
    assert sentence in str(refused.value)


def test_a_mistake_in_an_imported_module_is_said_with_its_file(tmp_path, monkeypatch):
    (tmp_path / "broken_layers.py").write_text("\n\ndef x(:\n")
    (tmp_path / "imports_it.py").write_text("from broken_layers import x\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SelectionError, match=r"^--mp-load imports_it.py, broken_layers.py, line 3: invalid syntax$"):
        load(tmp_path / "imports_it.py")


SCORE = "return model(batch['x']).argmax(-1)\n\n    def score(self, truth, predicted):\n        return "
AT_LAST = {
    "logits for classes": (
        ".argmax(-1)",
        "",
        "what predict() returned is a tensor of shape (200, 4) and torch.float32: ",
    ),
    "a class too many": (
        "classes = 4",
        "classes = 3",
        "the column 'label' is a tensor of shape (200,) and torch.int64: ",
    ),
    "no label": ('"label": label', '"y": label', "the column 'label' is NoneType None: expected a class from 0 to 3 for each"),
    "a score without a matrix": (PREDICTION, SCORE + "{'accuracy': 1.0}", "score() returned dict {'accuracy': 1.0}: expected"),
    "a score in words": (
        PREDICTION,
        SCORE + "{'accuracy': 'high'}, None",
        "score() returned accuracy 'high': expected a number",
    ),
    "a score in per cent": (PREDICTION, SCORE + "{'accuracy': 99.5}, None", "accuracy 99.5: expected a share, at most 1"),
    "an error of nothing": (
        PREDICTION,
        SCORE + "{'accuracy': 0.0}, None\n\n    lower_is_better = True",
        "score() returned accuracy 0: expected above 0",
    ),
    "a score without the metric": (PREDICTION, SCORE + "{'iou': 1.0}, None", "score() returned iou: expected 'accuracy' among"),
}


@pytest.mark.parametrize(("shown", "wrong", "sentence"), AT_LAST.values(), ids=AT_LAST.keys())
def test_a_mistake_is_said_when_the_training_is_scored(files, registries, shown, wrong, sentence):
    load(changed(files[PLAIN[0]], shown, wrong))
    workload = workloads["stripes"]("tiny")
    test = workload.split("test", CPU)
    with pytest.raises(WorkloadError) as refused:
        evaluate(TrainStep(workload, precisions["fp32"](), CPU), test)
    assert sentence in str(refused.value)


def test_a_class_for_each_pixel_needs_a_score_only(files, registries):
    """Nothing dummy_score is made up for labels of another shape."""
    pixels = SCORE + "{'accuracy': float((truth['label'] == predicted[:, None]).float().mean())}, None"
    text = changed(files[PLAIN[0]], PREDICTION, pixels)
    load(changed(text, '"label": label}', '"label": label[:, None].expand(-1, 2)}'))
    assert dummy_score(workloads["stripes"]("tiny")) is None


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
    "a column on another device": (
        '"label": label})',
        '"label": label.to("meta")})',
        "column 'label' of data('train') is on meta: expected it on the CPU",
    ),
    "no column": ('{"x": x, "label": label}', "{}", "data() failed: a split must have a column at least (my_model.py, line "),
    "no split": ('return Split({"x": x, "label": label})', "return x", "data('train') returned a tensor of shape (960, 64)"),
    "a loss of each sample": (LOSS, 'return model(batch["x"]).sum(-1)', "loss() returned a tensor of shape (32,)"),
    "a loss in 16 bits": (LOSS, LOSS + ".half()", "loss() returned a tensor of shape () and torch.float16: expected"),
    "a loss of nothing": (LOSS, "return torch.zeros(())", "loss() returned a tensor that does not depend on the model"),
    "a loss that is a number": (LOSS, "return 0.5", "loss() returned float 0.5: expected the batch's mean, a 0-dim tensor"),
    "a wrong device": (LOSS, LOSS.replace('["label"]', '["label"].to("meta")'), f"(my_model.py, line 35: {LOSS[:30]}"),
    "a key that is not there": (
        '(batch["x"]).argmax',
        '(batch["y"]).argmax',
        "predict() failed: KeyError: 'y' (my_model.py, line ",
    ),
    "one prediction": (
        ".argmax(-1)",
        ".argmax()",
        "predict() returned a tensor of shape () and torch.int64: expected a tensor of 32 rows",
    ),
    "no model": ("return nn.Sequential(", "nn.Sequential(", "build_model() returned NoneType None: expected an nn.Module"),
    "a model that is frozen": (
        "nn.Linear(width, 4))",
        "nn.Linear(width, 4)).requires_grad_(False)",
        "build_model() returned a model without weights that require a gradient",
    ),
    "a model in 16 bits": (
        "nn.Linear(width, 4))",
        "nn.Linear(width, 4)).bfloat16()",
        "build_model() returned 0.weight in torch.bfloat16: expected all weights in FP32",
    ),
    "a reason that hides another": (
        PREDICTION,
        "try:\n            return batch['y']\n        except KeyError:\n            raise ValueError('no data') from None",
        "predict() failed: no data (my_model.py, line ",
    ),
    "a model that fails": ("width = {", "width = {}[0] or {", "build_model() failed: KeyError: 0 (my_model.py, line "),
}


@pytest.mark.parametrize(("shown", "wrong", "sentence"), LATER.values(), ids=LATER.keys())
def test_a_mistake_is_said_when_a_method_is_called(files, registries, shown, wrong, sentence):
    load(changed(files[PLAIN[0]], shown, wrong))
    workload = workloads["stripes"]("tiny")
    with pytest.raises(WorkloadError) as refused:
        use(workload)
    assert str(refused.value).startswith("stripes: ")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("def augment(self, batch, generator):\n        return None", "augment() returned NoneType None: expected a batch"),
        (
            "def augment(self, batch, generator):\n        return batch['y']",
            "augment() failed: KeyError: 'y' (my_model.py, line ",
        ),
        ("def picture(self, batch, predicted):\n        return batch['x'][0]", "picture() returned a tensor of shape (64,)"),
    ],
)
def test_a_mistake_in_what_is_optional_is_said(files, registries, method, sentence):
    load(changed(files[PLAIN[0]], "    def predict(self", f"    {method}\n\n    def predict(self"))
    workload = workloads["stripes"]("tiny")
    batch = next(workload.split("train", CPU).batches(32))
    with pytest.raises(WorkloadError) as refused:
        checked_picture(workload, checked_batch(workload, batch, torch.Generator()), batch["label"])
    assert sentence in str(refused.value)


def test_a_mistake_fails_its_case_without_a_traceback(files):
    path = changed(files[PLAIN[0]], LOSS, "return batch['x'].sum(-1)")
    done = run("benchmarks", "-m", "numerics", "--mp-load", path, "--mp-workload", "stripes", "--mp-precision", "fp32")
    assert done.returncode == 1
    assert "stripes: loss() returned a tensor of shape (32,)" in " ".join(done.stdout.split()).replace("(16,)", "(32,)")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["nowhere.py", "benchmarks"])
def test_a_file_that_is_none_is_named(name):
    expected = "expected a Python file that registers a workload, a mode or a trainer"
    with pytest.raises(SelectionError, match=f"{name}': .*{expected}"):
        load(Path(name))


def test_a_recipe_of_the_guide_is_measured_and_keeps_the_contract(files):
    chosen = "--mp-load", files["my_recipe.py"], "--mp-workload", "gpt2-tuned", "--mp-device", "cpu"
    done = run("benchmarks", "-m", "speed or numerics", *chosen, "--mp-precision", "fp32,bf16-manual")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    done = run("--pyargs", "mpcore.contract", *chosen, "--mp-precision", "bf16-manual", "-k", "gradient or saved")
    assert done.returncode == 0, done.stdout + done.stderr
