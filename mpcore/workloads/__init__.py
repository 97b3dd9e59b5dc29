"""The workloads, one a file; importing this package registers them all."""

from mpcore.workloads import (
    bert_imdb,
    gpt2_text,
    llama_text,
    ncf_movielens,
    resnet18_mnist,
    resnet50,
    shapes,
    unet_membrane,
    vit_l_cifar10,
)
from mpcore.workloads.attention import UNMASKED
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checked import WorkloadError
from mpcore.workloads.entry import Entry
from mpcore.workloads.gpt2_text import linear
from mpcore.workloads.groups import Group
from mpcore.workloads.own_step import OwnStep

__all__ = [
    "UNMASKED",
    "Entry",
    "Group",
    "OwnStep",
    "Workload",
    "WorkloadError",
    "bert_imdb",
    "cross_entropy",
    "gpt2_text",
    "linear",
    "llama_text",
    "ncf_movielens",
    "resnet18_mnist",
    "resnet50",
    "shapes",
    "unet_membrane",
    "vit_l_cifar10",
    "workloads",
]
