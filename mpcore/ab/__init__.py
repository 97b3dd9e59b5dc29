"""Base against head, by time in pairs of fresh processes, or by work. Without torch, which only those processes import."""

from mpcore.ab.beside import BesidePairs, measure_beside
from mpcore.ab.build import prepare
from mpcore.ab.compare import compare
from mpcore.ab.event import event_base
from mpcore.ab.git import RevisionError
from mpcore.ab.large_files import check_large_files
from mpcore.ab.resumption import in_no_commit
from mpcore.ab.revisions import Checkout, checkouts, repository
from mpcore.ab.trees import in_each_tree
from mpcore.ab.work import all_work, compare_work

__all__ = [
    "BesidePairs",
    "Checkout",
    "RevisionError",
    "all_work",
    "check_large_files",
    "checkouts",
    "compare",
    "compare_work",
    "event_base",
    "in_each_tree",
    "in_no_commit",
    "measure_beside",
    "prepare",
    "repository",
]
