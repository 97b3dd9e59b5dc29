"""The workloads, one a file; importing this package registers all whose packages are installed. A workload loads transformers
once it builds a model: that takes seconds, and who only lists cases needs none."""

import importlib
import importlib.util
from typing import Any

from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checked import WorkloadError
from mpcore.workloads.entry import Entry
from mpcore.workloads.groups import Group
from mpcore.workloads.own_step import OwnStep

__all__ = ["UNMASKED", "Entry", "Group", "OwnStep", "Workload", "WorkloadError", "cross_entropy", "linear", "workloads"]

COME_ALONG = {
    "bert_imdb": ("bert-imdb", "bert-imdb-1k"),
    "gpt2_text": ("gpt2-text",),
    "llama_text": ("llama-text",),
    "ncf_movielens": ("ncf-movielens",),
    "resnet18_mnist": ("resnet18-mnist",),
    "resnet50": ("resnet50",),
    "shapes": ("bert-s128", "bert-s512", "gpt2-s1024", "llama-block"),
    "unet_membrane": ("unet-membrane",),
    "vit_l_cifar10": ("vit-l-cifar10",),
}
"""The names that a file registers."""
EXTRA = ("transformers", "datasets", "tokenizers")
"""Packages of the extra `workloads`. Whoever brings a training of their own needs none of them."""
_LATER = {"UNMASKED": "mpcore.workloads.attention", "linear": "mpcore.workloads.gpt2"}

_missing = next((package for package in EXTRA if importlib.util.find_spec(package) is None), None)
for _file, _names in COME_ALONG.items():
    if _missing is None:
        importlib.import_module(f"{__name__}.{_file}")
    else:
        for _name in _names:
            workloads.plan(_name, f"{_name} needs {_missing}, which is not installed: pip install 'mpcore[workloads]'")


def __getattr__(name: str) -> Any:
    """What needs the extra, and is taken from here."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
