"""Base against head, in pairs of fresh processes. Without torch, which only those processes import."""

from mpcore.ab.compare import compare
from mpcore.ab.revisions import Checkout, RevisionError, checkouts, repository

__all__ = ["Checkout", "RevisionError", "checkouts", "compare", "repository"]
