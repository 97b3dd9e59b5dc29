import warnings

import pytest
import torch

from mpcore.device.storage import bytes_of

BYTES = 4 * 16
"""Of a matrix of 4 rows and columns in FP32."""


def matrix(**options):
    return torch.ones(4, 4, **options)


def test_a_storage_counts_once_and_whole():
    whole = matrix()
    assert bytes_of([whole, whole[1:], whole.view(16), whole.T]) == BYTES
    assert bytes_of([whole[3]]) == BYTES
    assert bytes_of([whole, whole.clone()]) == 2 * BYTES
    assert bytes_of([]) == bytes_of([torch.ones(0)]) == 0


@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_sparse_tensor_is_what_its_parts_are(layout):
    sparse = matrix().to_sparse(layout=getattr(torch, layout), **({"blocksize": (2, 2)} if "_bs" in layout else {}))
    assert BYTES < bytes_of([sparse]) == bytes_of([sparse, sparse])


def test_a_nested_tensor_is_what_its_parts_are():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = torch.nested.nested_tensor([torch.ones(1, 4), torch.ones(3, 4)], layout=torch.jagged)
    assert bytes_of([nested]) == bytes_of([nested.values(), nested.offsets()])


def test_what_holds_no_numbers_has_no_bytes():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = matrix()
    assert bytes_of([fake, matrix(device="meta"), matrix().to_mkldnn()]) == 0
