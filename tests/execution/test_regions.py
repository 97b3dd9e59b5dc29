"""What of a model is compiled by itself."""

import copy
import gc
import pickle
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mpcore.device.compilations import Compilations
from mpcore.device.functions import follow
from mpcore.execution import Compile, Inductor
from mpcore.execution.inductor import VERSIONS
from mpcore.execution.regions import regions
from mpcore.records import Compiled
from mpcore.training.dropout import WithoutDropout
from mpcore.workloads import workloads

needs_compiler = pytest.mark.skipif(Compile.unsupported(torch.device("cpu")) is not None, reason="needs a C++ compiler")


class Block(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(8), nn.Linear(8, 32 * width)

    def forward(self, x):
        return x + self.inner(self.norm(x)).mean(-1, keepdim=True)


class Tower(nn.Module):
    """With something around its blocks: a stem of several modules, and a head that is one."""

    def __init__(self, widths, classes=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.GELU())
        self.layers = nn.ModuleList(Block(width) for width in widths)
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def test_blocks_that_repeat_are_regions_and_so_is_what_lies_around_them():
    model = Tower([8, 8, 8])
    assert regions(model) == [model.stem, *model.layers]


class Heads(nn.Module):
    """More around its blocks than in them."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
        self.heads = nn.ModuleList(Block() for _ in range(2))


@pytest.mark.parametrize(
    "model",
    [
        Tower([8]),
        Tower([8, 16]),
        Tower([8, 8, 8], classes=100),
        Heads(),
        nn.Sequential(Block(), Block()),
        nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])}),
    ],
    ids=["one block", "blocks that differ", "a heavy head", "heads", "no list", "layers that are one module each"],
)
def test_any_other_model_is_one_region(model):
    assert regions(model) == [model]


@pytest.mark.parametrize(
    ("name", "count"), [("bert-imdb", 14), ("vit-l-cifar10", 25), ("gpt2-text", 1), ("llama-text", 1), ("resnet50", 1)]
)
def test_the_blocks_of_transformers_are_regions(name, count):
    """But for those that predict a token of a vocabulary."""
    with torch.device("meta"):
        assert len(regions(workloads[name]("full").build_model())) == count


def test_what_only_holds_modules_is_no_region():
    """As in vit-pytorch, whose layers are pairs, and with a neck that is called member by member."""
    pairs = nn.ModuleList(nn.ModuleList([Block(), Block(16)]) for _ in range(2))
    assert regions(nn.ModuleDict({"layers": pairs}))[0] is not pairs[0]
    model = nn.ModuleDict({"neck": nn.ModuleDict({"a": nn.Linear(4, 4), "b": Block()}), "layers": Tower([8, 8]).layers})
    assert regions(model) == [model["neck"]["b"], *model["layers"]]


@pytest.mark.parametrize("head", ["parametrized", "a parameter", "lazy", "in a module"])
def test_a_heavy_head_is_found_whatever_it_is(head):
    model = Tower([8, 8, 8])
    assert len(regions(model)) == 4
    if head == "parametrized":
        model.head = nn.utils.parametrizations.weight_norm(nn.Linear(8, 100))
    elif head == "a parameter":
        model.weight = nn.Parameter(torch.ones(8, 100))
    elif head == "lazy":
        model.head = nn.LazyLinear(2)
    else:
        model.head = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 100))
    assert regions(model) == [model]
    model.head = model.weight = None
    model.table = nn.Embedding(100, 8)  # is looked up
    assert len(regions(model)) == 4


class Encoder(nn.Module):
    """Of blocks that are torch's own."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def forward(self, x):
        return self.encoder(x)


@needs_compiler
def test_a_forward_that_a_user_has_set_on_a_block_is_compiled():
    def doubled(forward):
        return lambda *args, **kwargs: 2 * forward(*args, **kwargs)

    model, x = Encoder(), torch.randn(2, 3, 8)
    for layer in model.encoder.layers:
        layer.forward = doubled(layer.forward)
    expected = model(x)
    Compile.prepare(model)
    assert len(regions(model)) == 3
    torch.testing.assert_close(model(x), expected)
    del model
    gc.collect()


@needs_compiler
@pytest.mark.parametrize("how", ["copied", "pickled"])
def test_a_copy_has_weights_of_its_own(how):
    model, x = Tower([8, 8]), torch.randn(3, 4)
    Compile.prepare(model)
    model(x)
    other = copy.deepcopy(model) if how == "copied" else pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(other(x), model(x))
    with torch.no_grad():
        for weight in other.layers.parameters():
            weight.zero_()
    other(x).sum().backward()
    assert all(weight.grad is not None for weight in other.parameters())
    assert all(weight.grad is None for weight in model.parameters())
    torch.testing.assert_close(other(x), other.head(other.stem(x)))
    del model
    gc.collect()


def test_blocks_of_two_classes_are_regions_too():
    class Other(Block):
        pass

    model = nn.ModuleDict({"encoder": Tower([8, 8]), "decoder": nn.ModuleList([Other(), Other()])})
    assert regions(model) == [model["encoder"].stem, *model["encoder"].layers, *model["decoder"]]


@needs_compiler
def test_blocks_that_read_a_number_of_their_own_may_be_more_than_a_model_may_have_versions():
    class Numbered(Block):
        def forward(self, x):
            return super().forward(x) + self.number

    model = nn.Module()
    model.layers = nn.ModuleList(Numbered() for _ in range(VERSIONS + 2))
    for number, layer in enumerate(model.layers):
        layer.number = number
    Compile.prepare(model)
    with Compilations() as compilations:
        for layer in model.layers:
            layer(torch.ones(2, 8))
    assert compilations.seen.graphs == VERSIONS + 2
    del model
    gc.collect()


@needs_compiler
@pytest.mark.parametrize("dropout", [True, False])
def test_a_block_is_compiled_once_for_all(dropout):
    """Without dropout each module has hooks, by which a mode follows it into a backward pass."""
    model, x, found = Tower([8] * 5), torch.randn(3, 4), {}
    expected = model(x)
    for execution in (Compile, Inductor):
        compiled, mode = Tower([8] * 5), nullcontext() if dropout else WithoutDropout()
        compiled.load_state_dict(model.state_dict())
        if not dropout:
            follow(mode, compiled)
        execution.prepare(compiled)
        with mode, Compilations() as compilations:
            torch.testing.assert_close(compiled(x), expected)
        found[execution.name] = compilations.seen.counts
        del compiled
        gc.collect()
    assert found == {"compile": Compiled(graphs=2), "inductor": Compiled(graphs=1)}


@needs_compiler
@pytest.mark.parametrize("name", ["__call__", "forward"])
def test_a_block_is_compiled_however_it_is_called(name):
    model, x = Tower([8, 8]), torch.randn(3, 8, requires_grad=True)
    expected = model.layers[0](x)
    Compile.prepare(model)
    with Compilations() as compilations:
        torch.testing.assert_close(getattr(model.layers[0], name)(x), expected)
    assert compilations.seen.graphs == 1
    del model
    gc.collect()


@needs_compiler
@pytest.mark.parametrize("called", [True, False])
def test_blocks_that_are_never_called_are_said(called):
    model = Tower([8, 8])
    Compile.prepare(model)
    parts = [layer.norm for layer in model.layers]
    run = Compile(lambda x: model(x) if called else parts[0](parts[1](model.stem(x))), model)
    run(torch.randn(3, 4))
    assert run.remark == (None if called else "2 of the 3 modules that were compiled one by one are never called")


@needs_compiler
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_in_the_backward_pass_is_without_dropout_too(reentrant):
    def gradients(compiled):
        torch.manual_seed(0)
        model, mode = Tower([8, 8]), WithoutDropout()
        for layer in model.layers:
            layer.inner = nn.Sequential(layer.inner, nn.Dropout(0.5))
        follow(mode, model)
        if compiled:
            Compile.prepare(model)
        with mode:
            x = model.stem(torch.ones(3, 4))
            for layer in model.layers:
                x = checkpoint(layer, x, use_reentrant=reentrant)
        x.sum().backward()
        return [p.grad for p in model.layers.parameters()]

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(found, expected)
