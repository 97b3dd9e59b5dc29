"""Every record that crosses a border between modules: frozen, validated, with the units in the field names.

What one test measured is a `Measurement`: a `Speed`, a `Quality`, a `Numerics`, a `Parity`, a `Race`, a `Drift` or a `Work`. It
holds its `Requirements`. With what the gate says of it, a `Check` or a `Regression` for each figure, it is a `Result`. The
results of one session, with the machine that they were measured on, are a `Run`.

Figures that follow from others (a throughput, a speed-up) are properties and are never stored. A figure that is not finite is
stored as None, for JSON has no NaN.
"""

from mpcore.records.base import Error, Finite, NonNegativeFloat, Number, PositiveFloat, Record
from mpcore.records.calibration import Calibration
from mpcore.records.case import OWN_STRATEGY, OWN_TRAINER, Case, Size
from mpcore.records.check import Check, CheckStatus
from mpcore.records.collective import Collective
from mpcore.records.comparison import WORKING_TREE, Comparison, Pair, PairedCase, Revision
from mpcore.records.compilation import Compilation, Compiled
from mpcore.records.cost import Cost
from mpcore.records.drift import Drift
from mpcore.records.gpu_state import GpuState
from mpcore.records.history import CaseFigures, RunFigures
from mpcore.records.loaded import Loaded, LoadedFile
from mpcore.records.machine import Hardware, Machine
from mpcore.records.measurement import Blocks, Measurement
from mpcore.records.numerics import Numerics, TensorErrors
from mpcore.records.paired_confirmation import PairedConfirmation
from mpcore.records.parallel import OnePart, Parallel, RankState, Repetition, Unlike
from mpcore.records.parity import Parity
from mpcore.records.profile import REST, Family, Kernel, Profile
from mpcore.records.protocol import Alive, Failure, Fault, Joined, Listing, Ready, Request, Response, Timing
from mpcore.records.published import Published
from mpcore.records.quality import Confusion, Divergence, Quality, Scores, Training
from mpcore.records.race import Entrant, Race, Turns
from mpcore.records.rank import Rank, RankTime
from mpcore.records.recipe import Recipe
from mpcore.records.regression import ALL_CASES, Regression, RegressionStatus
from mpcore.records.requirements import Requirements
from mpcore.records.result import AnyRecord, Result
from mpcore.records.run import LAYOUT, Accepted, FailedTest, Run, SkippedTest
from mpcore.records.selection import Selection
from mpcore.records.sensitivity import AccuracyProof, GradientProof, Sensitivities, Sensitivity
from mpcore.records.speed import Reference, Speed
from mpcore.records.work import Operation, Work

__all__ = [
    "ALL_CASES",
    "LAYOUT",
    "OWN_STRATEGY",
    "OWN_TRAINER",
    "REST",
    "WORKING_TREE",
    "Accepted",
    "AccuracyProof",
    "Alive",
    "AnyRecord",
    "Blocks",
    "Calibration",
    "Case",
    "CaseFigures",
    "Check",
    "CheckStatus",
    "Collective",
    "Comparison",
    "Compilation",
    "Compiled",
    "Confusion",
    "Cost",
    "Divergence",
    "Drift",
    "Entrant",
    "Error",
    "FailedTest",
    "Failure",
    "Family",
    "Fault",
    "Finite",
    "GpuState",
    "GradientProof",
    "Hardware",
    "Joined",
    "Kernel",
    "Listing",
    "Loaded",
    "LoadedFile",
    "Machine",
    "Measurement",
    "NonNegativeFloat",
    "Number",
    "Numerics",
    "OnePart",
    "Operation",
    "Pair",
    "PairedCase",
    "PairedConfirmation",
    "Parallel",
    "Parity",
    "PositiveFloat",
    "Profile",
    "Published",
    "Quality",
    "Race",
    "Rank",
    "RankState",
    "RankTime",
    "Ready",
    "Recipe",
    "Record",
    "Reference",
    "Regression",
    "RegressionStatus",
    "Repetition",
    "Request",
    "Requirements",
    "Response",
    "Result",
    "Revision",
    "Run",
    "RunFigures",
    "Scores",
    "Selection",
    "Sensitivities",
    "Sensitivity",
    "Size",
    "SkippedTest",
    "Speed",
    "TensorErrors",
    "Timing",
    "Training",
    "Turns",
    "Unlike",
    "Work",
]
