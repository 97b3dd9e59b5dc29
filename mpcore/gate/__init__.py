"""From records to judgements, each with one sentence. Pure functions: they read no measurement from disk and know no device.

A `Check` says whether what is required is reached, a `Regression` whether a figure got worse since accepted runs. `Judge` makes
both for a record, `judge_run` for a saved run.
"""

from mpcore.gate.accuracy import saturation
from mpcore.gate.anchor import anchors, drifted
from mpcore.gate.change_points import ChangePoint, change_points
from mpcore.gate.checks import checks, speedup
from mpcore.gate.common_change import common_change
from mpcore.gate.confirmation import confirmed, needs_confirmation, needs_pairs, needs_seeds
from mpcore.gate.judge import Judge, judge_run
from mpcore.gate.margins import Caps, Margins, Policy, PolicyError, load_policy
from mpcore.gate.matching import BaselineMatch, match_baselines
from mpcore.gate.priors import SHIPPED
from mpcore.gate.regressions import ACCEPT, expected_seconds, regressions

__all__ = [
    "ACCEPT",
    "SHIPPED",
    "BaselineMatch",
    "Caps",
    "ChangePoint",
    "Judge",
    "Margins",
    "Policy",
    "PolicyError",
    "anchors",
    "change_points",
    "checks",
    "common_change",
    "confirmed",
    "drifted",
    "expected_seconds",
    "judge_run",
    "load_policy",
    "match_baselines",
    "needs_confirmation",
    "needs_pairs",
    "needs_seeds",
    "regressions",
    "saturation",
    "speedup",
]
