"""Every record that crosses a border between modules: frozen, validated, with the units in the field names.

What one test measured is a `Speed`, a `Quality` or a `Numerics`; with its verdicts it is a `Result`, and the results
of one session with the machine they were measured on are a `Run`. Figures that follow from others (a throughput, a
speed-up) are properties and are never stored. A figure that is not finite is stored as None, for JSON has no NaN.
"""

from mpcore.records.base import Error, Finite, NonNegativeFloat, Number, PositiveFloat, Record
from mpcore.records.case import Case, Recipe, Selection, Size
from mpcore.records.comparison import Compared, Comparison, Contender, Pair
from mpcore.records.machine import Hardware, Machine
from mpcore.records.measurement import Blocks, Measurement
from mpcore.records.numerics import Numerics
from mpcore.records.order import Answer, Failure, Listing, Order, Ready, Timing
from mpcore.records.parity import Parity
from mpcore.records.profile import Family, Kernel, Profile
from mpcore.records.published import Published
from mpcore.records.quality import Confusion, Divergence, Quality, Training
from mpcore.records.result import SCHEMA, AnyRecord, Result
from mpcore.records.run import Accepted, FailedTest, Run
from mpcore.records.speed import GpuState, Reference, Speed
from mpcore.records.verdict import ALL_CASES, Status, Verdict

__all__ = [
    "ALL_CASES",
    "SCHEMA",
    "Accepted",
    "Answer",
    "AnyRecord",
    "Blocks",
    "Case",
    "Compared",
    "Comparison",
    "Confusion",
    "Contender",
    "Divergence",
    "Error",
    "FailedTest",
    "Failure",
    "Family",
    "Finite",
    "GpuState",
    "Hardware",
    "Kernel",
    "Listing",
    "Machine",
    "Measurement",
    "NonNegativeFloat",
    "Number",
    "Numerics",
    "Order",
    "Pair",
    "Parity",
    "PositiveFloat",
    "Profile",
    "Published",
    "Quality",
    "Ready",
    "Recipe",
    "Record",
    "Reference",
    "Result",
    "Run",
    "Selection",
    "Size",
    "Speed",
    "Status",
    "Timing",
    "Training",
    "Verdict",
]
