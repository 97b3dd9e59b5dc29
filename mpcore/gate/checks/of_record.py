"""What must be reached: a mode must be faster than FP32 and as accurate, and compute in the bits that its name says.

All that is required stands in the record. Records of the same run that were measured before it say more of the spread.
"""

from collections.abc import Sequence

from mpcore.gate.checks.accuracy import accuracy_checks
from mpcore.gate.checks.drift import drift_checks
from mpcore.gate.checks.numerics import numerics_checks
from mpcore.gate.checks.parity import parity_checks, race_checks
from mpcore.gate.checks.ranks import parallel_checks
from mpcore.gate.checks.speed import speed_checks
from mpcore.gate.checks.work import work_checks
from mpcore.records import AnyRecord, Check, Drift, Numerics, Parallel, Parity, Quality, Race, Result, Speed, Work


def checks(record: AnyRecord, before: Sequence[Result] = ()) -> list[Check]:
    """One check for each figure that must reach something. before: the results of the same run that were measured earlier."""
    match record:
        case Speed():
            return speed_checks(record)
        case Quality():
            return accuracy_checks(record, [result.record for result in before if isinstance(result.record, Quality)])
        case Numerics():
            return numerics_checks(record)
        case Parity():
            return parity_checks(record)
        case Race():
            return race_checks(record)
        case Parallel():
            return list(parallel_checks(record))
        case Drift():
            return drift_checks(record, before)
        case Work():
            return work_checks(record)
    return []
