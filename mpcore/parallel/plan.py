"""What is measured to see how steps scale, in the order of its worth: for when the time is up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from mpcore.matrix import cases
from mpcore.records import Case, Selection
from mpcore.workloads import Workload, workloads

WORKLOADS = ("bert-s128", "gpt2-text", "vit-l-cifar10", "llama-text")
PRECISIONS = {"cuda": ("bf16-manual",), "cpu": ("fp32",)}
"""That both strategies have, and that the device is made for."""
EXECUTIONS = {"cuda": ("graph",), "cpu": ("eager",)}
"""A graph's record has the time of the same step launched by Python, too."""
STRATEGIES = ("ddp", "fsdp")
ON_A_CPU = (1, 2, 4, 8)


@dataclass(frozen=True)
class Order:
    """kind: of what is asked of the ranks. reason: why it cannot be had, or None."""

    case: Case
    kind: Literal["speed", "parallel"]
    reason: str | None = None

    @property
    def name(self) -> str:
        """That of its record."""
        return f"{self.kind}:{self.case.id}"


def completed(selection: Selection, device: torch.device) -> Selection:
    """With what it does not name: large workloads, both strategies, and one, two, four and so on of the GPUs that are there."""
    found = torch.cuda.device_count() if device.type == "cuda" else 0
    numbers = tuple(2**power for power in range(found.bit_length())) or ON_A_CPU
    usual = {
        "workloads": WORKLOADS,
        "precisions": PRECISIONS[device.type],
        "executions": EXECUTIONS[device.type],
        "strategies": STRATEGIES,
        "gpus": numbers,
    }
    return selection.model_copy(update={name: value for name, value in usual.items() if not getattr(selection, name)})


def plan(selection: Selection, device: torch.device) -> list[Order]:
    """selection: completed. One GPU comes first and then the most, for they say most. For each number of GPUs, in one launch of
    ranks: steps with the batch that one GPU has; what ranks have in common, on the most GPUs; and steps that share that
    batch."""
    numbers = sorted({1, *selection.gpus})
    ordered = list(dict.fromkeys([1, numbers[-1], *numbers]))
    return [order for gpus in ordered for order in _on(gpus, selection, device, exact=gpus == numbers[-1])]


def _on(gpus: int, selection: Selection, device: torch.device, *, exact: bool) -> Iterator[Order]:
    narrowed = selection.model_copy(update={"gpus": (gpus,), "strategies": selection.strategies if gpus > 1 else ()})
    found = list(cases(narrowed, device))
    yield from (Order(case, "speed", reason) for case, reason in found)
    if gpus > 1:
        yield from (Order(case, "parallel", reason) for case, reason in found if exact)
        yield from _strong(found) if not selection.batch_sizes else ()


def _strong(found: Sequence[tuple[Case, str | None]]) -> Iterator[Order]:
    """The batch of one GPU shared by all, where it can be: an own step makes its batches itself."""
    for case, reason in found:
        entry = workloads[case.workload]
        if not issubclass(entry, Workload):
            continue
        whole = case.batch_size or entry.recipes[case.size].batch_size
        if whole % case.gpus == 0:
            yield Order(case.model_copy(update={"batch_size": whole // case.gpus}), "speed", reason)
