"""The workloads, one a file; importing this package registers them all."""

from mpcore.workloads import bert_imdb, resnet18_mnist, shapes
from mpcore.workloads.base import Workload, WorkloadError, cross_entropy

__all__ = ["Workload", "WorkloadError", "bert_imdb", "cross_entropy", "resnet18_mnist", "shapes"]
