"""What each workload says of itself is so."""

from contextlib import nullcontext

import pytest
import torch

from mpcore.data import DataError
from mpcore.workloads import workloads

EVERY = pytest.mark.parametrize("name", workloads.names())


@EVERY
def test_it_expects_all_of_mixed_precision_or_says_why_not(name):
    workload = workloads[name]
    everything = {"fp32", "tf32"}
    named = [set(workload.amp_must_beat), set(workload.eager_amp_must_beat)]
    assert all(names <= everything for names in named)
    assert bool(workload.amp_not_faster_because) is (named != [everything, everything])


@EVERY
def test_its_model_tells_as_many_classes_as_it_has(name):
    workload = workloads[name]("tiny")
    if not workload.classes:
        pytest.skip("no classification")
    assert workload.build_model().config.num_labels == workload.classes


@EVERY
def test_it_says_whether_its_model_starts_from_a_checkpoint(name):
    workload = workloads[name]("tiny", checkpoint="/no/such/folder")
    refused = pytest.raises(DataError, match="no checkpoint folder") if workload.reads_checkpoint else nullcontext()
    with torch.device("meta"), refused:
        workload.build_model()
