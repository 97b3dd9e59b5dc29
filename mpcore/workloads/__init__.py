"""The workloads, one a file; importing this package registers them all."""

from mpcore.workloads import (
    bert_imdb,
    gpt2_text,
    ncf_movielens,
    resnet18_mnist,
    resnet50,
    shapes,
    unet_membrane,
    vit_l_cifar10,
)
from mpcore.workloads.base import Workload, WorkloadError, cross_entropy

__all__ = [
    "Workload",
    "WorkloadError",
    "bert_imdb",
    "cross_entropy",
    "gpt2_text",
    "ncf_movielens",
    "resnet18_mnist",
    "resnet50",
    "shapes",
    "unet_membrane",
    "vit_l_cifar10",
]
