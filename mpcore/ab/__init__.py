"""Base against head, in pairs of fresh processes. Without torch, which only those processes import."""

from mpcore.ab.compare import PAIRS, compare
from mpcore.ab.sides import Side, SideError, sides

__all__ = ["PAIRS", "Side", "SideError", "compare", "sides"]
