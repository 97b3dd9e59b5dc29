"""What one step sends between ranks."""

from typing import Any

from mpcore.device.collectives import Collectives, bytes_of_elements
from mpcore.records import Collective
from mpcore.training.base import Step


def sent(step: Step, batch: Any) -> tuple[Collective, ...]:
    """By one eager step."""
    with Collectives() as found:
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
