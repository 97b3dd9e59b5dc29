"""How small a slowdown each gate finds, and how often it stops what is no slower."""

import itertools
import statistics
from functools import cache

from generator.markdown import markdown, page, table
from generator.runs import ROOT, as_one, newest, newest_of_each
from generator.terminal import printed
from mpcore.calibrate.sensitivity import gradients_section
from mpcore.gate import limits
from mpcore.records import AccuracyProof, Sensitivities
from mpcore.store import sensitivities

SUITES = 300
"""Simulated suites in the tables of calibration: seconds, and the shares of slowdowns do not hang on them."""


@cache
def calibrated() -> str:
    return printed("calibrate", "--suites", str(SUITES))


def cells(title: str) -> list[list[str]]:
    """The rows of a table of calibration, without its headings."""
    lines = calibrated().partition(title)[2].strip().splitlines()
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[lines.index("") + 1 :] if "" in lines[:2] else lines)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in list(rows)[2:]]


def gates() -> str:
    """What judges a change, and how small a one it finds 95 times in 100, by simulation."""
    pairs = statistics.median(float(row[-1]) for row in cells("ab finds 95 times in 100, in per cent:") if "odd" not in row[0])
    runs = max(float(row[3]) for row in cells("accepted runs 95 times in 100, in per cent:") if "steady" in row[0])
    suite = f"{suite_minutes():.0f} minutes of tests"
    shown = [
        ("`ab main --work-only`", "operations, casts, FLOPs, saved bytes, synchronisations", "one", "two minutes", "any CPU"),
        ("`ab main`", "time and memory of a step", f"{pairs:.1f} % of a time", "half a minute a case", "one GPU"),
        ("accepted runs", "time, memory, errors, accuracy, counts", f"{runs:.1f} % of a time", suite, "one GPU"),
        ("`trend`", "all figures of many nights", f"{100 * limits.TREND_LEAST_CHANGE:g} %, lasting", "seconds", "any CPU"),
    ]
    return table(("gate", "judges", "finds from", "takes", "runs on"), shown)


def suite_minutes() -> float:
    """What the tests took that were accepted last on one GPU."""
    return sum(result.cost.seconds for result in as_one(newest()).results if result.cost) / 60


def calibration() -> str:
    sentence = (
        "How often the gate stops what is no slower, and how small a slowdown it finds, by simulation with recorded noise."
    )
    return page("Calibration", sentence, f"python -m mpcore calibrate --suites {SUITES}", calibrated())


def sensitivity() -> str:
    found = [sensitivities(ROOT / "baselines", hardware) for hardware in newest_of_each()]
    kinds = [kind for kind in found if kind.accuracy and kind.numerics]
    sentence = (
        "Whether a lost accuracy or a wrong gradient would be seen: faults are planted, and judged as the suite judges. The "
        "fault is the mildest of those tried that costs a tolerance. An alarm is a trial that does not pass, though nothing is "
        "planted. Each trial has three of six seeds, so that trials overlap."
    )
    return page(
        "Sensitivity",
        sentence,
        "python -m mpcore calibrate --sensitivity --write --mp-data embedded",
        "\n\n".join(map(_shown, kinds)),
    )


def _shown(kind: Sensitivities) -> str:
    tried = ("fault", "points lost", "tolerance", "found", "of", "alarms")
    heads = ("trainings", "data", *tried, "FP32 below the ceiling, in tolerances")
    rows = [(proof.workload, proof.terms["data"], *_cells(proof)) for proof in kind.accuracy]
    return "\n\n".join([f"## {kind.hardware}", table(heads, rows, "lllrrrrrr"), markdown(gradients_section(kind.numerics))])


def _cells(proof: AccuracyProof) -> tuple[str, ...]:
    of, tolerance = proof.sensitivity, f"{float(proof.terms['tolerance']):.3g}"
    lost = "-" if of.lost_points is None else f"{of.lost_points:.1f}"
    return of.fault or "none", lost, tolerance, str(of.found), str(of.trials), str(of.alarms), f"{of.tolerances_to_ceiling:.1f}"
