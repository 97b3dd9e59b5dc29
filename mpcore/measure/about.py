"""What every record of a case says of it."""

from typing import Any

import torch

from mpcore.records import Case
from mpcore.workloads import Workload


def about(case: Case, workload: Workload, device: torch.device) -> dict[str, Any]:
    """The fields of a `Measurement`."""
    return {
        "case": case,
        "workload_version": workload.version,
        "device": device.type,
        "batch_size": workload.recipe.batch_size,
        "unit": workload.unit,
        "units_per_sample": workload.units_per_sample,
    }
