"""A patch on a model, against the mode that it is otherwise."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mpcore.precision import Inapplicable, PrecisionError, Variant, precisions
from mpcore.training.step import TrainStep

CPU = torch.device("cpu")


class SameReLU(nn.ReLU):
    """Another class that computes the same."""


def patch(model):
    model[1] = SameReLU()


def variant(apply, base="bf16-amp", **attributes):
    return type(
        "Patched", (Variant,), {"name": f"{base}-patched", "base": base, "apply": lambda _, model: apply(model)} | attributes
    )


def steps(workload, mode, count=3):
    step = TrainStep(workload, mode, CPU, dropout=False)
    batch = workload.split("train", CPU).rows(slice(32))
    losses = [step(batch).item() for _ in range(count)]
    return losses, step


@pytest.mark.parametrize("base", [name for name in precisions.names() if not precisions[name].unsupported(CPU)])
def test_it_is_its_base_but_for_the_patch(dots, base):
    mode = variant(patch, base)
    assert issubclass(mode, precisions[base])
    assert (mode.dtype, mode.roundoff(), mode.scales) == (
        precisions[base].dtype,
        precisions[base].roundoff(),
        precisions[base].scales,
    )
    assert not mode.on_request
    theirs, _ = steps(dots, precisions[base]())
    ours, step = steps(dots, mode())
    assert ours == pytest.approx(theirs, nan_ok=True, abs=0)
    assert isinstance(step.model[1], SameReLU)


def test_another_model_may_take_the_place(dots):
    class Wrapped(nn.Sequential):
        """With the names of what it wraps."""

    ours, step = steps(dots, variant(lambda model: Wrapped(*model))())
    assert isinstance(step.model, Wrapped)
    assert ours == steps(dots, precisions["bf16-amp"]())[0]


def test_what_it_computes_in_sets_its_limits():
    assert variant(patch, format=torch.float8_e4m3fn).roundoff() == 2**-4
    assert variant(patch).roundoff() == 2**-8


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"base": "bf17-amp"}, "variant Patched has the base 'bf17-amp': expected a mode, one of fp32, tf32, "),
        ({"base": "bf16-amp"}, r"variant Patched has no apply\(model\): expected one that patches the model"),
        (
            {"base": "bf16-amp", "format": torch.int8, "apply": lambda *_: None},
            "variant Patched has the format torch.int8: expected one of floating-point numbers",
        ),
    ],
)
def test_a_mistake_is_said_when_the_class_is_made(attributes, sentence):
    with pytest.raises(ValueError, match=sentence):
        type("Patched", (Variant,), {"name": "patched"} | attributes)


def test_a_variant_is_no_base(monkeypatch):
    monkeypatch.setattr(precisions, "_classes", dict(precisions._classes))
    precisions.register(variant(patch))
    with pytest.raises(ValueError, match="has the base 'bf16-amp-patched': expected a mode"):
        variant(patch, "bf16-amp-patched")


def test_without_a_base_it_is_not_registered():
    nameless = type("Patched", (Variant,), {"name": "patched", "apply": lambda *_: None})
    with pytest.raises(ValueError, match="precision 'patched' lacks the attribute base"):
        precisions.register(nameless)


def fails(model):
    raise KeyError("gate_proj")


def renamed(model):
    model.add_module("other", model[0])
    del model[0]


def initialised_anew(model):
    model[0] = nn.Linear(16, 32)


def written_to(model):
    model[0].weight.data.mul_(1.5)


@pytest.mark.parametrize(
    ("apply", "sentence"),
    [
        (lambda model: 3, r"apply\(\) returned a int: expected a module, or None"),
        (fails, r"apply\(\) failed: KeyError: 'gate_proj' \(test_variant.py, line \d+: raise KeyError"),
        (renamed, r"apply\(\) leaves no weight 0.weight: expected the names that the weights have"),
        (
            lambda model: nn.ModuleDict({"inner": model}),
            r"apply\(\) leaves no weight 0.weight, which is inner.0.weight now:",
        ),
        (initialised_anew, r"apply\(\) changes the values of 0.weight: expected the model's own weights"),
        (written_to, r"apply\(\) changes the values of 0.weight: expected the model's own weights"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(dots, apply, sentence):
    with pytest.raises(PrecisionError, match=f"bf16-amp-patched: {sentence}"):
        steps(dots, variant(apply)())


def test_a_patch_of_nothing_is_told_and_not_measured(dots):
    with pytest.raises(Inapplicable, match=r"apply\(\) changes nothing in Sequential, so that it is bf16-amp"):
        steps(dots, variant(lambda model: model)())


@pytest.mark.parametrize(
    ("owner", "name", "shown"), [(nn.Linear, "forward", "Linear.forward"), (F, "relu", "torch.nn.functional.relu")]
)
def test_a_patch_that_its_base_would_run_is_put_back(dots, owner, name, shown):
    before = vars(owner)[name]

    def everywhere(model):
        setattr(owner, name, lambda *args, **kwargs: before(*args, **kwargs))

    with pytest.raises(PrecisionError, match=f"apply\\(\\) changes {shown}, which bf16-amp would run, too"):
        steps(dots, variant(everywhere)())
    assert vars(owner)[name] is before


def forward_of_its_own(model):
    model[0].forward = lambda x: F.linear(x, model[0].weight, model[0].bias)


def other_configuration(model):
    model.config.attention = "fused"


class Configured(nn.Sequential):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.config = type("Config", (), {})()
        self.config.attention = "eager"


@pytest.mark.parametrize("apply", [forward_of_its_own, other_configuration])
def test_a_forward_or_a_configuration_is_a_patch(dots, apply):
    layers = type(dots).build_model
    dots.build_model = lambda: Configured(*layers(dots))
    assert steps(dots, variant(apply)())[0] == steps(dots, precisions["bf16-amp"]())[0]


LOADS_A_COMPILER = """
import sys
import torch
from mpcore.precision import Variant

class Quantised(Variant):
    name, base = "bf16-amp-quantised", "bf16-amp"

    def apply(self, model):
        import torch._dynamo  # as torchao does
        model[0] = type("Same", (torch.nn.ReLU,), {})()

assert "torch._dynamo" not in sys.modules
Quantised().patched(torch.nn.Sequential(torch.nn.ReLU()))
"""


def test_what_a_library_patches_when_it_is_loaded_is_no_patch_of_the_variant():
    """In a process that has loaded no compiler yet, which patches torch itself."""
    done = subprocess.run([sys.executable, "-c", LOADS_A_COMPILER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
