import warnings
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.modules import module as hooks
from torch.utils.checkpoint import checkpoint

from mpcore.device.dispatch import Dispatch
from mpcore.measure.work import dispatched
from mpcore.precision import precisions
from mpcore.precision.tf32 import tf32_switches
from mpcore.training.step import TrainStep

ROWS, WIDTH = 3, 4
X = ROWS * WIDTH * 4
"""Bytes of an activation in FP32."""


def x(**options):
    return torch.ones(ROWS, WIDTH, **options)


def counted(model, step):
    with Dispatch(model) as found:
        step()
    return found


def where(found, name):
    """(module, phase) -> how often an operation ran there."""
    places = {}
    for op, count in found.operations.items():
        if op.name == name:
            places[op.module, op.phase] = places.get((op.module, op.phase), 0) + count
    return places


class Twice(nn.Module):
    """Nested modules, one of them called twice, and a function between them."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())

    def forward(self, x):
        return self.inner(self.inner(x).sin())


def step_of(model, **inputs):
    return lambda: model(**inputs).square().sum().backward()


def test_operations_are_of_the_innermost_module_in_both_directions():
    model = nn.Sequential(Twice(), nn.Linear(WIDTH, 2))
    found = counted(model, lambda: model(x()).square().sum().backward())
    assert where(found, "addmm") == {("0.inner.0", "forward"): 2, ("1", "forward"): 1}
    assert where(found, "mm") == {("1", "backward"): 2, ("0.inner.0", "backward"): 3}
    assert where(found, "relu") == {("0.inner.1", "forward"): 2}
    assert where(found, "threshold_backward") == {("0.inner.1", "backward"): 2}
    assert where(found, "sin") == {("0", "forward"): 1}
    assert where(found, "cos") == {("0", "backward"): 1}


def test_a_loss_and_an_optimiser_are_in_no_module():
    model = nn.Linear(WIDTH, WIDTH)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, foreach=True)

    def step():
        F.mse_loss(model(x()), x()).backward()
        optimiser.step()

    found = counted(model, step)
    assert where(found, "mse_loss") == {("", "forward"): 1}
    assert where(found, "mse_loss_backward") == {("", "backward"): 1}
    assert where(found, "_foreach_add_") == {("", "update"): 1}
    assert not any("profiler" in op.name for op in found.operations)


def test_after_the_first_part_of_a_batch_comes_a_forward_pass_again():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH))

    def step():
        for _ in range(2):
            F.mse_loss(model(x()), x()).backward()

    found = counted(model, step)
    assert where(found, "mse_loss") == {("", "forward"): 2}
    assert where(found, "add_") == {("0", "backward"): 2}  # weight and bias add up their gradients


@pytest.mark.parametrize("keyword", [False, True])
def test_a_module_may_be_called_with_keywords_only(keyword):
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            return self.linear(input=x) if keyword else self.linear(x)

    found = counted(model := Keyword(), step_of(model, x=x()))
    assert where(found, "addmm") == {("linear", "forward"): 1}
    assert where(found, "mm") == {("linear", "backward"): 1}


def test_modules_that_share_a_weight_count_apart():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False))
    model[1].weight = model[0].weight
    found = counted(model, lambda: model(x()).sum().backward())
    assert where(found, "mm") == {("0", "forward"): 1, ("1", "forward"): 1, ("1", "backward"): 2, ("0", "backward"): 1}
    assert found.saved_bytes == 2 * X


def test_a_module_that_is_in_no_model_counts_for_the_one_that_calls_it():
    class Made(nn.Module):
        def forward(self, x):
            return nn.Softplus()(x)

    model = nn.Sequential(Made())
    assert where(counted(model, lambda: model(x())), "softplus") == {("0", "forward"): 1}


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 + 0 * x


def test_a_function_of_ones_own_is_of_the_module_that_applies_it():
    class Applies(nn.Module):
        def forward(self, x):
            return Doubled.apply(x)

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Applies(), nn.ReLU())
    found = counted(model, lambda: model(x()).sum().backward())
    assert where(found, "mul") == {("1", "forward"): 1, ("1", "backward"): 2}


def test_what_is_written_into_a_part_of_a_tensor_is_of_the_module_that_writes():
    class Writes(nn.Module):
        def forward(self, x):
            out = x.clone()
            out[0].mul_(2)
            return out

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Writes(), nn.Linear(WIDTH, WIDTH))
    found = counted(model, lambda: model(x()).sum().backward())
    assert where(found, "mul") == {("1", "backward"): 1}


def test_what_needs_no_gradient_takes_no_node_from_the_module_before():
    class Masks(nn.Module):
        def forward(self, x):
            torch.ones(2).cumsum(0)
            return x

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Masks(), nn.ReLU())
    found = counted(model, lambda: model(x()).sum().backward())
    assert where(found, "mm") == {("0", "backward"): 1}


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_forward_again_in_the_backward_pass(reentrant):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    plain = counted(model, lambda: model(x(requires_grad=True)).sum().backward())
    found = counted(model, lambda: checkpoint(model, x(requires_grad=True), use_reentrant=reentrant).sum().backward())
    assert where(found, "addmm")["0", "forward"] == where(found, "addmm")["0", "backward"] == 1
    assert where(found, "relu") == {("1", "forward"): 1, ("1", "backward"): 1}
    assert where(found, "mm") == {("0", "backward"): 2, ("2", "backward"): 2}
    assert (plain.saved_bytes, found.saved_bytes) == (2 * X, X)


def test_a_gradient_within_the_loss_is_no_end_of_it():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def step():
        inputs = x(requires_grad=True)
        (gradient,) = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)
        F.mse_loss(gradient, x()).backward()

    found = counted(model, step)
    assert where(found, "mse_loss") == {("", "forward"): 1}
    assert {module for module, _ in where(found, "mm")} == {"0"}
    assert where(found, "tanh_backward") == {("1", "backward"): 2}


@pytest.mark.parametrize("caught", [False, True])
def test_an_exception_leaves_nothing_behind(caught):
    class Fails(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    class Catches(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(Fails())

        def forward(self, x):
            if caught:
                with suppress(ZeroDivisionError):
                    self.inner(x)
                return x.exp()
            return self.inner(x)

    model = nn.Sequential(Catches(), nn.Linear(WIDTH, WIDTH))
    before = dict(hooks._global_forward_hooks), dict(hooks._global_forward_pre_hooks)
    refuses = torch.autograd.graph.disable_saved_tensors_hooks
    with suppress(ZeroDivisionError), Dispatch(model) as found:
        model(x())
    assert where(found, "exp") == ({("0", "forward"): 1} if caught else {})
    assert where(found, "addmm") == ({("1", "forward"): 1} if caught else {})
    assert (dict(hooks._global_forward_hooks), dict(hooks._global_forward_pre_hooks)) == before
    assert torch.autograd.graph.disable_saved_tensors_hooks is refuses
    assert torch._dynamo.eval_frame._stance.stance == "default"
    assert torch.autograd.is_multithreading_enabled()
    total = found.operations.total()
    torch.ones(2).exp()
    assert found.operations.total() == total


def test_casts_are_counted_with_the_bytes_that_they_read_and_write():
    half = torch.zeros(8, dtype=torch.float16)

    def cast():
        torch.ones(8).half()  # 8 x (4 + 2)
        half.copy_(torch.ones(8))  # the same
        torch._foreach_copy_([half, torch.zeros(2)], [torch.ones(8), torch.ones(2)])  # one of two is a cast
        half.double()  # 8 x (2 + 8)

    found = counted(nn.Linear(1, 1), cast)
    assert (found.casts, found.cast_bytes) == (4, 3 * 8 * (4 + 2) + 8 * (2 + 8))


def test_what_changes_no_floating_point_format_is_no_cast():
    def copy():
        torch.ones(2, dtype=torch.int64).float()
        torch.ones(2).long()
        torch.ones(2).clone()
        torch.zeros(2).copy_(torch.ones(2))
        torch._foreach_copy_([torch.zeros(2)], [torch.ones(2)])
        torch.ones(2).to(torch.complex64)

    found = counted(nn.Linear(1, 1), copy)
    assert (found.casts, found.cast_bytes) == (0, 0)


def test_what_is_saved_counts_once_and_weights_do_not():
    model = nn.Linear(WIDTH, WIDTH)
    assert counted(model, lambda: model(x())).saved_bytes == X
    assert counted(model, lambda: model(kept := x()) + model(kept.view(ROWS, WIDTH))).saved_bytes == X
    assert counted(model, lambda: model(x()) + model(x())).saved_bytes == 2 * X
    assert counted(model, lambda: model(x()).exp().exp()).saved_bytes == 3 * X
    with torch.no_grad():
        assert counted(model, lambda: model(x()).exp()).saved_bytes == 0


def test_memory_that_is_used_again_counts_again():
    """The address of what was given back says nothing."""
    model = nn.Linear(WIDTH, WIDTH)

    def step():
        for _ in range(5):
            model(x())

    assert counted(model, step).saved_bytes == 5 * X


def test_what_is_saved_is_given_back():
    """An output that its own node keeps would hold itself for ever."""
    model, refs = nn.Linear(WIDTH, WIDTH), []

    def step():
        refs.append(torch.multiprocessing.reductions.StorageWeakRef(model(x()).exp().untyped_storage()))

    counted(model, step)
    assert refs[0].expired()


def test_an_item_is_named_with_its_line():
    loss = torch.ones(())
    found = counted(nn.Linear(1, 1), lambda: loss.item() + float(loss))
    said = "item (test_dispatch.py, line {}: found = counted(nn.Linear(1, 1), lambda: loss.item() + float(loss)))"
    line = test_an_item_is_named_with_its_line.__code__.co_firstlineno + 2
    assert found.synchronisations == [said.format(line)] * 2


def test_where_the_core_itself_reads_its_own_line_is_named(dots, cpu):
    """And not that of the program which measures."""
    mode = precisions["bf16-manual"]()
    step = TrainStep(dots, mode, cpu)
    mode.optimiser = torch.optim.Adam([mode.groups[0].whole], foreach=False)  # it reads its count of steps
    found = dispatched(step, dots.split("train", cpu).rows(slice(4)))
    assert [said.split(",")[0] for said in found.synchronisations] == ["item (base.py"]


MASK = torch.tensor([True, False, True, False])


@pytest.mark.parametrize(
    ("reads", "names"),
    [
        pytest.param(lambda: torch.ones(4)[MASK], ["index"], id="mask"),
        pytest.param(lambda: torch.ones(4)[torch.tensor([0, 1])], [], id="numbers"),
        pytest.param(lambda: torch.ones(4).index_put_((MASK,), torch.ones(2)), ["index_put_"], id="values-by-mask"),
        pytest.param(lambda: torch.ones(4).index_put_((MASK,), torch.tensor(0.0)), [], id="value-by-mask"),
        pytest.param(lambda: torch.where(MASK), ["nonzero"], id="where"),
        pytest.param(lambda: torch.where(MASK, 1.0, 0.0), [], id="where-of-two"),
        pytest.param(lambda: torch.ones(4).unique(), ["_unique2"], id="unique"),
        pytest.param(lambda: torch.ones(4).masked_select(MASK), ["masked_select"], id="masked_select"),
        pytest.param(lambda: torch.ones(4).repeat_interleave(torch.tensor([2] * 4)), ["repeat_interleave"], id="repeats"),
        pytest.param(lambda: torch.ones(4).repeat_interleave(torch.tensor([2] * 4), output_size=8), [], id="so-many"),
        pytest.param(lambda: bool(MASK.any()), ["item"], id="bool"),
        pytest.param(lambda: torch.equal(MASK, MASK), ["equal"], id="equal"),
    ],
)
def test_what_waits_for_a_device_is_a_synchronisation(reads, names):
    assert [said.split(" ")[0] for said in counted(nn.Linear(1, 1), reads).synchronisations] == names


def test_a_mask_waits_in_the_backward_pass_too():
    model = nn.Linear(WIDTH, 4)
    found = counted(model, lambda: model(x())[:, MASK].sum().backward())
    assert [said.split(" ")[0] for said in found.synchronisations] == ["index", "index_put"]


def test_what_is_read_on_the_host_waits_for_no_other_device():
    found = counted(nn.Linear(1, 1, device="meta"), lambda: torch.ones(()).item())
    assert found.synchronisations == []


@pytest.mark.parametrize("setting", ["ieee", "tf32"])
def test_switches_say_whether_a_product_rounds_to_tf32(setting):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    with tf32_switches(setting == "tf32"):
        found = counted(model, lambda: model(torch.ones(1, 1, 2, 2)))
        half = counted(model.bfloat16(), lambda: model(torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)))
    name = "tf32" if setting == "tf32" else "float32"
    products = {op.name: op.dtype for op in found.operations if op.name in ("addmm", "convolution")}
    assert products == {"addmm": name, "convolution": name}
    assert found.flops == {name: 2 * 2 * 4 + 2 * 2 * 8}
    assert set(half.flops) == {"bfloat16"}
    assert (found.low_precision_share, half.low_precision_share) == (0, 1)


def shapes(model, step, name):
    return {op.shapes for op in counted(model, step).operations if op.name == name}


def test_shapes_say_where_channels_are_last():
    conv = nn.Conv2d(2, 2, 1)
    images = torch.ones(1, 2, 3, 3)
    assert shapes(conv, lambda: conv(images), "convolution") == {"1x2x3x3 2x2x1x1 2"}
    last = images.to(memory_format=torch.channels_last)
    assert shapes(conv, lambda: conv(last), "convolution") == {"1x2x3x3:nhwc 2x2x1x1 2"}


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_nested_tensors_have_sizes_without_a_number(layout):
    model = nn.Linear(WIDTH, WIDTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = torch.nested.nested_tensor([torch.ones(2, WIDTH), torch.ones(3, WIDTH)], layout=layout)
    found = counted(model, lambda: model(nested))
    assert {op.shapes.split(" ")[0] for op in found.operations if op.name == "linear"} == {
        "2x?x4" if layout == torch.jagged else "?"
    }
    assert found.saved_bytes >= 5 * WIDTH * 4


def test_sparse_tensors_are_counted_by_their_parts():
    model = nn.Linear(WIDTH, WIDTH, bias=False)
    sparse = torch.eye(WIDTH).to_sparse()
    dense = counted(model, lambda: model(x())).saved_bytes
    found = counted(model, lambda: torch.sparse.mm(sparse, model(torch.ones(WIDTH, WIDTH))).sum().backward())
    parts = sparse._indices().untyped_storage().nbytes() + sparse._values().untyped_storage().nbytes()
    assert found.saved_bytes == dense // ROWS * WIDTH + parts
    assert not any(op.name in ("_indices", "_values") for op in found.operations)


def test_sparse_gradients_are_counted():
    model = nn.Embedding(10, WIDTH, sparse=True)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        model(torch.tensor([1, 2])).sum().backward()
        optimiser.step()

    assert where(counted(model, step), "add_") == {("", "update"): 1}


def test_complex_weights_are_counted():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH, dtype=torch.complex64))
    found = counted(model, lambda: model(x(dtype=torch.complex64)).abs().sum().backward())
    assert where(found, "addmm") == {("0", "forward"): 1}
    assert set(found.flops) == {"complex64"}


class Wrapped(torch.Tensor):
    """A weight that is made of another tensor, as those of quantised and of distributed models are."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(parts, *_):
        return Wrapped(parts["inner"])

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return cls(args[0].inner)
        plain = [arg.inner if isinstance(arg, cls) else arg for arg in args]
        return func(*plain, **(kwargs or {}))


def test_weights_that_are_made_of_other_tensors_are_known_as_weights():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False))
    model[0].weight = nn.Parameter(Wrapped(torch.ones(WIDTH, WIDTH)))
    found = counted(model, lambda: model(x(requires_grad=True)).exp())
    assert found.saved_bytes == 2 * X


def test_torch_func_runs_and_what_its_gradients_save_is_passed_over():
    model = nn.Sequential(nn.Linear(WIDTH, 1))
    weights = dict(model.named_parameters())

    def loss(weights):
        return torch.func.functional_call(model, weights, (x(),)).square().sum()

    found = counted(model, lambda: (torch.func.grad(loss)(weights), model(x()).exp()))
    assert where(found, "addmm") == {("0", "forward"): 2}
    assert found.saved_bytes == X + ROWS * 4
    assert where(counted(model, lambda: torch.func.hessian(loss)(weights)), "addmm") == {("0", "forward"): 1}


def test_what_was_compiled_counts_as_what_it_stands_for():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH))
    compiled = torch.compile(model, backend=lambda graph, inputs: lambda *inputs: (x(),))
    with torch.no_grad():
        compiled(x())
        found = counted(model, lambda: compiled(x()))
        assert compiled(x()).equal(x())
    torch.compiler.reset()
    assert where(found, "addmm") == {("0", "forward"): 1}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_an_operator_of_higher_order_counts_as_one():
    query = torch.ones(1, 2, 128, 16)
    found = counted(nn.Linear(1, 1), lambda: flex_attention(query, query, query))
    assert where(found, "flex_attention") == {("", "forward"): 1}
    assert found.flops == {"float32": 2 * 2 * 2 * 128 * 128 * 16}
