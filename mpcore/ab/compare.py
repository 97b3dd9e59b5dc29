"""Pairs of fresh processes, until each case is decided."""

import random
from collections.abc import Callable, Iterator, Sequence

from mpcore.ab.sides import Side
from mpcore.records import Comparison, Selection
from mpcore.runner import Runner

PAIRS = (6, 12)
"""After which the verdicts are looked at: more looks are more false alarms."""

Progress = Callable[[str], None]


def start(side: Side, selection: Selection) -> Runner:
    """A fresh process, which imports while another measures."""
    return Runner(side.tree, selection, side.python)


def compare(
    base: Side,
    head: Side,
    selection: Selection,
    *,
    pairs: Sequence[int] = PAIRS,
    seed: int = 0,
    progress: Progress = lambda line: None,
    start: Callable[[Side, Selection], Runner] = start,
) -> Comparison:
    """Base against head, on this machine's device. Raises RunnerError where one of them lists no cases."""
    raise NotImplementedError
