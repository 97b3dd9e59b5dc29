"""All registries, which import torch."""

from typing import Any

from mpcore.records import Case


def registries() -> dict[str, Any]:
    """By the field of a Selection that names what is in it."""
    from mpcore.execution import executions
    from mpcore.precision import precisions
    from mpcore.strategies import strategies
    from mpcore.trainers import trainers
    from mpcore.workloads import workloads

    return {
        "workloads": workloads,
        "precisions": precisions,
        "trainers": trainers,
        "executions": executions,
        "strategies": strategies,
    }


def knows(case: Case, field: str) -> bool:
    """Whether what a case has for a field is registered, as far as names of that field are."""
    found = registries().get(f"{field}s")
    return found is None or getattr(case, field) in found.names()


def is_own(workload: str) -> bool:
    """Whether it is a step that exists already, and no model that mpcore makes a step of."""
    from mpcore.workloads import OwnStep

    return issubclass(registries()["workloads"][workload], OwnStep)
