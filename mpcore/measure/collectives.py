"""What one step sends between ranks."""

from typing import Any

import torch

from mpcore.device.collectives import Collectives, bytes_of_elements
from mpcore.records import Collective
from mpcore.training.base import Step


def sent(step: Step, batch: Any) -> tuple[Collective, ...]:
    """By one eager step. What was compiled is passed over: torch would give it up for good where somebody watches."""
    with torch.compiler.set_stance("force_eager"), Collectives() as found:
        step.launch(batch)
    return tuple(
        Collective(
            operation=name,
            dtype=dtype,
            calls=calls,
            elements=found.elements[name, dtype],
            bytes=bytes_of_elements(dtype, found.elements[name, dtype]),
        )
        for (name, dtype), calls in sorted(found.calls.items())
    )
