"""Thirty faults planted in a step, each against what the step did before: the gate says what differs, and where.

`python docs/generate.py` makes a table of them.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2LMHeadModel
from transformers.models.bert.modeling_bert import BertIntermediate

from mpcore.gate import BaselineMatch, regressions
from mpcore.gate.margins import Margins
from mpcore.measure import Bench
from mpcore.measure.work import measure_work
from mpcore.precision import flat, master
from mpcore.precision.autocast import Autocast
from mpcore.precision.base import Precision
from mpcore.precision.flat import Group
from mpcore.precision.master import MasterWeights
from mpcore.precision.native import FP32, TF32
from mpcore.precision.scale import LossScale
from mpcore.records import Case
from mpcore.training import step as training_step
from mpcore.training.parts import parts
from mpcore.training.step import TrainStep
from mpcore.workloads import bert_imdb, cross_entropy, resnet18_mnist
from mpcore.workloads.bert_imdb import BertImdb
from mpcore.workloads.gpt2_text import Gpt2Text
from mpcore.workloads.resnet50 import ResNet50

DEVICES = [
    pytest.param("cpu", id="cpu"),
    pytest.param(
        "cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")],
        id="cuda",
    ),
]
Plant = Callable[[pytest.MonkeyPatch], None]


class Fault(NamedTuple):
    """says: a pattern of the gate's sentence. given: what both steps have. cpu: whether a CPU sees it. fails: whether a step
    does more than before, which alone is worse."""

    workload: str
    precision: str
    plant: Plant
    says: str
    given: Plant | None = None
    cpu: bool = True
    fails: bool = True

    @property
    def step(self):
        """What the fault is planted in."""
        return self.workload, self.precision, self.given


def wrap(patch, owner, name, change):
    """`change(original, *arguments)` in place of a function."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: change(original, *args, **kwargs))


def no_upcast(patch):
    patch.setattr(bert_imdb, "cross_entropy", lambda logits, labels: F.cross_entropy(logits, labels).float())


def cast_twice(patch):
    wrap(patch, BertIntermediate, "forward", lambda forward, self, hidden: forward(self, hidden.bfloat16().float()))


def layer_norm_in_fp32(patch):
    def single(forward, self, x):
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)

    wrap(patch, nn.LayerNorm, "forward", single)


def no_autocast_in_the_head(patch):
    def build(build_model, self):
        model = build_model(self)
        forward = model.lm_head.forward

        def single(hidden):
            with torch.autocast(hidden.device.type, enabled=False):
                return forward(hidden.float())

        model.lm_head.forward = single
        return model

    wrap(patch, Gpt2Text, "build_model", build)


def no_autocast(patch):
    patch.setattr(Autocast, "forward", lambda self: torch.autocast(self.device_type, enabled=False))


def with_loss(change):
    """Something done to the loss of BERT."""

    def plant(patch):
        def changed(loss, self, model, batch):
            found = loss(self, model, batch)
            change(found)
            return found

        wrap(patch, BertImdb, "loss", changed)

    return plant


def masked_tokens(patch):
    def loss(self, model, batch):
        logits, labels = self._logits(model, batch).flatten(0, 1), batch["input_ids"][:, 1:].flatten()
        return cross_entropy(logits[labels >= 0], labels[labels >= 0])

    patch.setattr(Gpt2Text, "loss", loss)


def attention_by_hand(patch):
    def attend(query, key, value, attn_mask=None, dropout_p=0.0, scale=None, **_):
        scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
        if attn_mask is not None:
            scores = scores.masked_fill(attn_mask == 0, torch.finfo(scores.dtype).min)
        return F.dropout(scores.softmax(-1), dropout_p) @ value

    patch.setattr(F, "scaled_dot_product_attention", attend)


def with_optimiser(**options):
    """Other options of the optimiser."""

    def plant(patch):
        def build(build_optimiser, self, weights, recipe):
            optimiser = build_optimiser(self, weights, recipe)
            for group in optimiser.param_groups:
                group |= options
            return optimiser

        wrap(patch, Precision, "build_optimiser", build)

    return plant


def second_forward(patch):
    def twice(loss, self, model, batch):
        loss(self, model, batch)
        return loss(self, model, batch)

    wrap(patch, BertImdb, "loss", twice)


def copied_twice(patch):
    def twice(scatter, self):
        scatter(self)
        scatter(self)

    wrap(patch, Group, "scatter", twice)


def no_masters(patch):
    patch.setattr(flat, "Group", lambda weights, dtype, shared: Group(weights, torch.bfloat16, shared=True))


def dropout(patch):
    """In layers; within attention a fused kernel does it."""
    patch.setattr(bert_imdb, "TINY", bert_imdb.TINY | {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.0})


def no_dropout(patch):
    patch.setattr(TrainStep, "train_mode", lambda self: self.model.eval())


def dropout_twice(patch):
    wrap(patch, nn.Dropout, "forward", lambda forward, self, x: forward(self, forward(self, x)))


def copied_heads(patch):
    def attend(attention, query, key, value, **options):
        return attention(query.contiguous(), key.contiguous(), value.contiguous(), **options)

    wrap(patch, F, "scaled_dot_product_attention", attend)


def checkpoints(patch):
    def build(build_model, self):
        model = build_model(self)
        model.gradient_checkpointing_enable()
        return model

    wrap(patch, Gpt2Text, "build_model", build)


def no_checkpoints(patch):
    patch.setattr(GPT2LMHeadModel, "gradient_checkpointing_enable", lambda self: None)


def clipping(patch):
    def clip(self):
        nn.utils.clip_grad_norm_([group.whole for group in self.groups], 1.0, foreach=True)

    patch.setattr(MasterWeights, "clip", clip)


def fp32_classifier(patch):
    wrap(patch, master, "matching", lambda matching, model, patterns: matching(model, ["classifier"]))


def batch_norm_in_16_bits(patch):
    patch.setattr(master, "_BatchNorm", nn.RNNBase)


def with_tf32(mode, on):
    return lambda patch: patch.setattr(mode, "tf32", on)


def without(method):
    """A method of the loss scale."""
    return lambda patch: patch.setattr(LossScale, method, lambda *_: None)


def kept_gradients(patch):
    wrap(patch, torch.optim.Optimizer, "zero_grad", lambda zero_grad, self: zero_grad(self, set_to_none=False))


def two_parts(patch):
    patch.setattr(training_step, "parts", lambda batch, count: parts(batch, 2))


def channels_first(patch):
    wrap(patch, ResNet50, "build_model", lambda build, self: build(self).to(memory_format=torch.contiguous_format))


def softmax_twice(patch):
    def loss(cross_entropy, logits, labels):
        return cross_entropy(logits.float().log_softmax(-1), labels)

    wrap(patch, resnet18_mnist, "cross_entropy", loss)


LAYER = r"bert\.encoder\.layer\.\[0-1\]"
UPDATE = ", update"
FAULTS = {
    "a cast lost: the loss in 16 bits": Fault(
        "bert-imdb", "bf16-manual", no_upcast, "_log_softmax, .* are bfloat16, were float32", fails=False
    ),
    "a cast doubled": Fault("bert-imdb", "bf16-amp", cast_twice, rf"_to_copy .* 0 -> 1 in {LAYER}\.intermediate"),
    "LayerNorm in FP32": Fault("bert-imdb", "bf16-manual", layer_norm_in_fp32, r"layer_norm in .*LayerNorm is float32"),
    "autocast off in one module": Fault("gpt2-text", "bf16-amp", no_autocast_in_the_head, "mm in lm_head is float32"),
    "autocast off": Fault("bert-imdb", "fp16-amp", no_autocast, rf"addmm in {LAYER}.* is float32, was float16"),
    ".item() in the loss": Fault(
        "bert-imdb", "bf16-manual", with_loss(lambda loss: loss.item()), r"item .*, line \d+: .* 0 -> 1"
    ),
    "indexing by a mask": Fault("gpt2-text", "fp32", masked_tokens, r"index .*, line \d+: .* 0 -> 2"),
    ".cpu() in the loss": Fault(
        "bert-imdb", "bf16-amp", with_loss(lambda loss: loss.cpu()), r"_to_copy .*, line \d+", cpu=False
    ),
    "attention out of its fused kernel": Fault("gpt2-text", "bf16-manual", attention_by_hand, r"bmm .* in transformer.*\.attn"),
    "a loop in the optimiser": Fault(
        "resnet18-mnist", "bf16-amp", with_optimiser(fused=False, foreach=False), f"add_ .*{UPDATE}"
    ),
    "a fused optimiser lost": Fault("bert-imdb", "bf16-amp", with_optimiser(fused=False, foreach=True), f"_foreach_.*{UPDATE}"),
    "a second forward pass": Fault("bert-imdb", "bf16-amp", second_forward, f"addmm .* 1 -> 2 in {LAYER}.*forward"),
    "TF32 on in fp32": Fault(
        "gpt2-text", "fp32", with_tf32(FP32, True), r"addmm in transformer.* is tf32, was float32", fails=False
    ),
    "TF32 off in tf32": Fault(
        "resnet18-mnist", "tf32", with_tf32(TF32, False), r"convolution in resnet.* is float32, was tf32"
    ),
    "masters copied twice": Fault("bert-imdb", "bf16-manual", copied_twice, f"_foreach_copy_ .* 1 -> 2{UPDATE}"),
    "masters dropped": Fault("bert-imdb", "bf16-manual", no_masters, "_fused_adamw_ is bfloat16, was float32", fails=False),
    "dropout not applied": Fault(
        "bert-imdb", "bf16-amp", no_dropout, r"(bernoulli_|dropout) .* -> 0 in bert", given=dropout, fails=False
    ),
    "dropout applied twice": Fault(
        "bert-imdb", "bf16-amp", dropout_twice, r"(bernoulli_|dropout) .* -> 2 in bert", given=dropout
    ),
    "a view become a copy": Fault(
        "gpt2-text", "bf16-manual", copied_heads, r"clone .* in transformer\.h\.\[0-1\]\.attn, forward"
    ),
    "checkpoints lost": Fault(
        "gpt2-text", "bf16-amp", no_checkpoints, r"addmm .* -> 0 in transformer.*, backward", given=checkpoints
    ),
    "gradients clipped": Fault("bert-imdb", "fp16-manual", clipping, f"norm .* 0 -> 1{UPDATE}", fails=False),
    "weights kept in FP32": Fault("resnet18-mnist", "bf16-manual", fp32_classifier, r"addmm in classifier.* is float32"),
    "BatchNorm in 16 bits": Fault("resnet18-mnist", "bf16-manual", batch_norm_in_16_bits, f"_foreach_copy_ .*{UPDATE}"),
    "unscaling lost": Fault("bert-imdb", "fp16-manual", without("unscale_"), f"unscale_ .* 1 -> 0{UPDATE}", fails=False),
    "the scale's update lost": Fault(
        "gpt2-text", "fp16-manual", without("update"), f"update_scale_ .* 1 -> 0{UPDATE}", fails=False
    ),
    "zero_grad(set_to_none=False)": Fault("resnet18-mnist", "fp32", kept_gradients, r"add_ .* 0 -> 1 in resnet.*, backward"),
    "the batch in two parts": Fault("gpt2-text", "bf16-amp", two_parts, r"_to_copy .* 3 -> 6 in transformer"),
    "channels last lost": Fault(
        "resnet50", "bf16-amp", channels_first, r"convolution .*:nhwc .*in resnet.*, forward", fails=False
    ),
    "softmax twice": Fault("resnet18-mnist", "bf16-amp", softmax_twice, "_log_softmax .* 1 -> 2, forward"),
    "one more tensor in the optimiser's state": Fault("gpt2-text", "bf16-amp", with_optimiser(amsgrad=True), "optimiser bytes"),
}


class Counted:
    """What steps do on a device: of each case and what both steps have, once before any fault."""

    def __init__(self, device):
        self.bench = Bench(torch.device(device))
        self._before = {}

    def work(self, fault):
        case = Case(workload=fault.workload, precision=fault.precision, size="tiny")
        return measure_work(self.bench.setups.timing(case))

    def before(self, fault):
        if fault.step not in self._before:
            self._before[fault.step] = self.work(fault)
        return self._before[fault.step]

    def told(self, fault):
        """By metric, what differs. To be called once the fault is planted, and `before` was called without."""
        match = BaselineMatch(self.work(fault), {0: self.before(fault)})
        return {r.metric: r for r in regressions(match, Margins(), None) if r.status in ("worse", "changed")}


@pytest.fixture(scope="module")
def counted():
    devices = {}
    return lambda device: devices.setdefault(device, Counted(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(counted, monkeypatch, name, device):
    fault, subject = FAULTS[name], counted(device)
    if fault.given:
        fault.given(monkeypatch)
    subject.before(fault)
    fault.plant(monkeypatch)
    told = subject.told(fault)
    if device == "cpu" and not fault.cpu:
        assert told == {}
        return
    assert any(re.search(fault.says, phrase) for each in told.values() for phrase in each.sentence.split("; ")), told
    worse = "worse" in {each.status for each in told.values()}
    assert fault.fails <= worse if device == "cuda" else fault.fails == worse, told  # a GPU may launch more kernels


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list({fault.step: name for name, fault in FAULTS.items()}.values()))
def test_without_a_fault_nothing_differs(counted, monkeypatch, name, device):
    fault, subject = FAULTS[name], counted(device)
    if fault.given:
        fault.given(monkeypatch)
    subject.before(fault)
    assert subject.told(fault) == {}


def test_thirty_faults_are_planted_and_most_are_seen_on_a_cpu():
    assert len(FAULTS) == 30
    assert sum(fault.cpu for fault in FAULTS.values()) >= 26
