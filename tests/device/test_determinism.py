import pytest
import torch
import torch._inductor.config

from mpcore.device.determinism import in_one_order, lacks_order
from mpcore.errors import reraised_as
from mpcore.workloads import WorkloadError


def put():
    torch.zeros(3).put_(torch.zeros(1, dtype=torch.long), torch.ones(1))


def test_what_torch_has_in_any_order_alone_is_refused_and_named():
    with pytest.raises(WorkloadError) as raised, in_one_order(), reraised_as(WorkloadError, "loss()"):
        put()
    said = lacks_order(raised.value)
    assert said.startswith("put_ does not have a deterministic implementation (test_determinism.py, line ")
    assert said.endswith("torch.zeros(3).put_(torch.zeros(1, dtype=torch.long), torch.ones(1)))")
    assert torch.get_deterministic_debug_mode() == 0
    put()


@pytest.mark.parametrize("error", [ValueError(), ValueError("put_ is not there"), RuntimeError("\n")])
def test_another_error_is_none_of_order(error):
    assert lacks_order(error) is None


def test_a_product_of_cublas_is_told_with_what_it_needs():
    error = RuntimeError("Deterministic behavior was enabled, but this operation is not deterministic because it uses CuBLAS")
    assert lacks_order(error) == "torch computes matrix products in one order with CUBLAS_WORKSPACE_CONFIG=:4096:8 alone"


def test_what_is_compiled_later_is_compiled_as_before():
    with in_one_order():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch._inductor.config.deterministic
    assert not torch._inductor.config.deterministic


@pytest.mark.parametrize("mode", [1, 2])
def test_the_mode_of_before_is_the_mode_after(mode):
    torch.set_deterministic_debug_mode(mode)
    try:
        with in_one_order():
            assert torch.get_deterministic_debug_mode() == 2
        assert torch.get_deterministic_debug_mode() == mode
    finally:
        torch.set_deterministic_debug_mode(0)


def test_new_memory_is_not_filled_and_all_is_as_before_afterwards():
    before = torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory
    with in_one_order():
        assert (torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory) == (2, False)
    assert (torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory) == before
