from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention

from mpcore.device.flops import FlopCount, flops_of

M, N, K = 3, 7, 5
LINEAR = 2 * M * N * K
ATTENTION = 2 * (2 * 2 * 3 * 8 * 8 * 4)  # two products, each of 2 * batch * heads * length * length * width


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 0), (torch.float64, 0), (torch.bfloat16, 1), (torch.float16, 1)])
def test_a_linear_layer_counts_by_the_dtype_it_runs_in(dtype, share):
    layer, x = nn.Linear(K, N, dtype=dtype), torch.ones(M, K, dtype=dtype)
    with FlopCount() as flops:
        layer(x)
    assert dict(flops.by_dtype) == {dtype: LINEAR}
    assert flops.total == LINEAR
    assert flops.low_precision_share == share


def test_autocast_counts_as_what_it_casts_to():
    layer, x = nn.Linear(K, N), torch.ones(M, K)
    with FlopCount() as flops, torch.autocast("cpu", torch.bfloat16):
        layer(x)
    assert dict(flops.by_dtype) == {torch.bfloat16: LINEAR}


def test_a_step_costs_three_forwards():
    layer, x = nn.Linear(K, N), torch.ones(M, K, requires_grad=True)
    with FlopCount() as flops:
        layer(x).sum().backward()
    assert flops.total == 3 * LINEAR


def test_the_share_is_that_of_flops_and_not_of_calls():
    x = torch.ones(M, K)
    with FlopCount() as flops:
        x @ torch.ones(K, N)
        x.bfloat16() @ torch.ones(K, 3 * N, dtype=torch.bfloat16)
    assert flops.low_precision_share == pytest.approx(0.75)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_a_cpu_is_counted(masked):
    query = torch.randn(2, 3, 8, 4)
    mask = torch.ones(2, 1, 1, 8, dtype=torch.bool) if masked else None
    with FlopCount() as flops:
        F.scaled_dot_product_attention(query, query, query, attn_mask=mask)
    assert flops.total == ATTENTION


@pytest.mark.parametrize("kernel", ["flash_attention", "efficient_attention", "cudnn_attention", "flash_attention_for_cpu"])
def test_attention_whose_queries_share_keys_in_groups_costs_as_much_as_with_keys_repeated(kernel):
    forward, backward = (getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}{end}") for end in ("", "_backward"))
    query, key = torch.empty(2, 4, 8, 16), torch.empty(2, 2, 8, 16)
    product = 2 * 2 * 4 * 8 * 8 * 16
    assert flops_of(forward, (query, key, key), {}, query) == (torch.float32, 2 * product)
    assert flops_of(backward, (query, query, key, key), {}, query) == (torch.float32, 5 * product)


@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr"])
def test_a_sparse_product_that_autocast_leaves_in_fp32_is_no_choice_of_the_mode(layout):
    sparse, dense = getattr(torch.eye(M), layout)(), torch.ones(M, N, requires_grad=True)
    with FlopCount() as flops:
        with torch.autocast("cpu", torch.bfloat16):
            out = torch.sparse.mm(sparse, dense)
        out.sum().backward()
    assert out.dtype == torch.float32
    assert dense.grad is not None
    assert flops.total == 0


def test_the_backward_of_attention_is_counted():
    query, key, value = (torch.randn(2, 3, 8, 4, requires_grad=True) for _ in range(3))
    with FlopCount() as flops:
        F.scaled_dot_product_attention(query, key, value).sum().backward()
    # the kernel makes the attention weights anew: five products after the two of the forward
    assert flops.total == ATTENTION + ATTENTION // 2 * 5


def test_a_convolution_is_counted():
    with FlopCount() as flops:
        F.conv2d(torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3), padding=1)
    assert flops.total == 2 * (2 * 4 * 8 * 8) * (3 * 3 * 3)


def test_work_without_products_counts_nothing():
    with FlopCount() as flops:
        torch.ones(M, K).add(1).relu().sum()
    assert (flops.total, flops.low_precision_share) == (0, 0)


def test_what_runs_after_the_block_is_not_counted():
    x = torch.ones(M, K)
    with FlopCount() as flops:
        pass
    x @ x.T
    assert flops.total == 0


@pytest.fixture
def compiled():
    """A layer that was compiled into something that hides its product."""

    def hidden(graph, inputs):
        return lambda *inputs: (torch.zeros(M, N),)

    layer = torch.compile(nn.Linear(K, N), backend=hidden)
    with torch.no_grad():
        assert not layer(torch.ones(M, K)).any()
        yield layer
    torch.compiler.reset()


def test_what_was_compiled_counts_as_what_it_stands_for(compiled):
    with FlopCount() as flops:
        out = compiled(torch.ones(M, K))
    assert flops.total == LINEAR
    assert out.any()


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_compiled_is_used_again_after_the_block(compiled, fails):
    with suppress(ZeroDivisionError), FlopCount():
        1 / (not fails)
    assert not compiled(torch.ones(M, K)).any()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_an_operator_of_higher_order_is_passed_through():
    query = torch.randn(1, 2, 128, 16)
    with FlopCount() as flops:
        flex_attention(query, query, query)
    assert flops.by_dtype == {torch.float32: 2 * 2 * 2 * 128 * 128 * 16}


def test_what_an_optimiser_computes_in_is_left_out():
    """Muon makes its updates orthogonal by products in BF16, whatever the mode."""
    layer = nn.Linear(4, 4, bias=False)
    optimiser = torch.optim.Muon(layer.parameters())
    with FlopCount() as flops:
        for _ in range(2):
            layer(torch.ones(2, 4)).sum().backward()
            optimiser.step()
    assert set(flops.by_dtype) == {torch.float32}
    assert flops.total == 2 * 2 * (2 * 2 * 4 * 4)


@pytest.mark.parametrize("function", [lambda x: torch.linalg.cholesky(x[:4] + 9 * torch.eye(4)), lambda x: torch.cdist(x, x)])
def test_what_torch_computes_in_fp32_alone_is_left_out(function):
    """Products within it, and in its backward pass."""
    rows = 40  # from 26 on a distance is a product
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with FlopCount() as flops:
        function(x @ torch.eye(4)).sum().backward()
    assert flops.total == 2 * (2 * rows * 4 * 4)


def test_complex_products_are_left_out():
    """No format of 16 bits has any."""
    with FlopCount() as flops:
        torch.ones(4, 4, dtype=torch.complex64) @ torch.ones(4, 4, dtype=torch.complex64)
    assert flops.total == 0
