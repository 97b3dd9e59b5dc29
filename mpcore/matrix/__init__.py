"""The matrix of cases that a selection names, and where they are measured. Imports torch only once it is asked."""

from mpcore.matrix.place import device_of, size_of, source_of
from mpcore.matrix.product import cases, possible
from mpcore.matrix.registries import knows
from mpcore.matrix.selected import alone, check, packages_of, precisions_of, resolve, trainers_of, workloads_of

__all__ = [
    "alone",
    "cases",
    "check",
    "device_of",
    "knows",
    "packages_of",
    "possible",
    "precisions_of",
    "resolve",
    "size_of",
    "source_of",
    "trainers_of",
    "workloads_of",
]
