"""A comparison as a table for a terminal, or as markdown."""

import math
import statistics

import tabulate

from mpcore.records import Compared, Comparison, Contender, Verdict
from mpcore.report.lines import wrapped

CASE_WIDTH = 44
HEADINGS = ("case", "base ms", "head ms", "change %", "mem. %", "verdict")
ALIGNED = ("left", "right", "right", "right", "right", "left")


def terminal(comparison: Comparison) -> str:
    """As wide as a terminal."""
    lines = [*_sides(comparison), "", *_table(comparison, "simple", CASE_WIDTH).splitlines(), "", *_told(comparison)]
    return "\n".join(wrapped(line) for line in lines).strip()


def markdown(comparison: Comparison) -> str:
    sides, told = ("\n".join(f"- {line}" for line in lines) for lines in (_sides(comparison), _told(comparison)))
    return "\n\n".join(filter(None, ["### Base against head", sides, _table(comparison, "github"), told])) + "\n"


def _table(comparison: Comparison, style: str, width: int | None = None) -> str:
    if not comparison.cases:
        return ""
    rows = [_row(compared) for compared in comparison.cases]
    widths = [width, *[None] * (len(HEADINGS) - 1)]
    return tabulate.tabulate(
        rows, HEADINGS, tablefmt=style, disable_numparse=True, colalign=ALIGNED, maxcolwidths=widths if width else None
    )


def _row(compared: Compared) -> list[str]:
    time, *memory = compared.verdicts
    statuses = [time.status, *(f"{v.metric} {v.status}" for v in memory if v.status != "same")]
    if not compared.pairs:
        return [compared.case.id, *["-"] * (len(HEADINGS) - 2), ", ".join(statuses)]
    base, head = (f"{1000 * statistics.median(side):.4g}" for side in _seconds(compared))
    more = "-" if not memory else _per_cent(memory[0].ratio)
    return [compared.case.id, base, head, _change(time), more, ", ".join(statuses)]


def _seconds(compared: Compared) -> tuple[list[float], list[float]]:
    return [pair.base_seconds for pair in compared.pairs], [pair.head_seconds for pair in compared.pairs]


def _change(time: Verdict) -> str:
    """With half the width of its interval, which is symmetric in logarithms."""
    if time.ratio is None or time.interval is None or not all(time.interval):
        return "-"
    low, high = time.interval
    assert low
    assert high
    return f"{_per_cent(time.ratio)} ± {100 * math.log(high / low) / 2:.2f}"


def _per_cent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * (ratio - 1):+.2f}"


def _sides(comparison: Comparison) -> list[str]:
    base, head = comparison.base, comparison.head
    hardware = head.machine.hardware
    lines = [f"base: {_side(base)}", f"head: {_side(head)}", f"on {hardware.name}, order of seed {comparison.seed}"]
    ours, theirs = head.machine.software, base.machine.software
    changed = [f"{name} {theirs.get(name, 'none')} -> {ours.get(name, 'none')}" for name in {**theirs, **ours}]
    changed = [text for text, name in zip(changed, {**theirs, **ours}, strict=True) if theirs.get(name) != ours.get(name)]
    return [*lines, f"software: {', '.join(changed)}"] if changed else lines


def _side(contender: Contender) -> str:
    commit = f" at {contender.commit[:12]}" if contender.commit else ""
    handicap = f", steps made {contender.handicap:g} times as long" if contender.handicap != 1 else ""
    return f"{contender.name}{commit}, {contender.python}{handicap}"


def _told(comparison: Comparison) -> list[str]:
    """A sentence for all that is not the same, for pairs that were lost, and for cases of which nothing is known."""
    verdicts = [(compared, v) for compared in comparison.cases for v in compared.verdicts]
    told = [f"{v.status}: {v.sentence}" for _, v in verdicts if v.status != "same"]
    lost = [f"lost: {_lost(compared)}" for compared in comparison.cases if compared.lost]
    failed = [f"failed: {case}: {sentence}" for case, sentence in comparison.failures.items()]
    skipped = [f"not run: {case}: {sentence}" for case, sentence in comparison.skipped.items()]
    return [*told, *lost, *failed, *skipped]


def _lost(compared: Compared) -> str:
    pairs = "a pair is" if len(compared.lost) == 1 else f"{len(compared.lost)} pairs are"
    return f"{compared.case.id}: {pairs} not whole, {compared.lost[-1]}"
