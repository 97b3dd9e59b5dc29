"""What a training step does, counted: counts repeat exactly, and need no statistics."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import NonNegativeInt, PositiveInt

from mpcore.records.base import Bytes
from mpcore.records.compilation import Compiled
from mpcore.records.measurement import Measurement

RANGE = re.compile(r"\[(\d+)-(\d+)\]")
"""A part of a module's path that stands for several numbers."""
TEXT = re.compile(r"(.*?) \| (.*?) \| (.*?) \| (.*) \| (\w*)", re.DOTALL)
"""Of an operation: what a module is called may have bars in it, too."""


class Operation(NamedTuple):
    """One operation of a step, as torch dispatches it.

    dtype: of its first result, "tf32" for a product of FP32 that may round its inputs. shapes: of tensors it is called with,
    such as "64x768 768x768", or "32x3x48x48:nhwc" where channels are last. module: the qualified name of the module that it
    came from, "" for what is in none, as the loss and the optimiser are. phase: "forward", "backward" or "update".
    """

    name: str
    dtype: str
    shapes: str
    module: str
    phase: str

    @property
    def text(self) -> str:
        return " | ".join(self)

    @classmethod
    def parsed(cls, text: str) -> "Operation":
        """Raises ValueError for what is no text of an operation."""
        match = TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r:.80} is no operation: expected {' | '.join(cls._fields)}")
        return cls(*match.groups())


class Work(Measurement):
    """What one step launched by Python dispatches, and what it moves.

    software: versions of what counts: another torch is another count. operations: how often each runs in each module, by its
    text; modules that differ by a number and are alike stand together, "layer.[0-11].output". casts, cast_bytes: copies into
    another floating-point format, and the bytes that they read and write. saved_bytes: what is kept for the backward pass,
    weights left out. synchronisations: operations that wait for the device, or would on a GPU, each with its line. kernels:
    launches of a step by name, as its execution runs it, None on a CPU. graph_signature: a hash of the nodes and edges of its
    CUDA graph. compiled: what torch.compile made of it, None where it made nothing and was not asked. code: a hash of the
    files that were loaded for it, where a process of `ab` counted it.
    """

    kind: Literal["work"] = "work"
    software: dict[str, str]
    operations: dict[str, PositiveInt]
    flops_by_dtype: dict[str, NonNegativeInt]
    casts: NonNegativeInt
    cast_bytes: Bytes
    saved_bytes: Bytes
    synchronisations: tuple[str, ...]
    parameter_bytes: Bytes
    gradient_bytes: Bytes
    optimiser_bytes: Bytes
    kernels: dict[str, NonNegativeInt] | None = None
    graph_signature: str | None = None
    compiled: Compiled | None = None
    code: str | None = None

    @property
    def terms(self) -> dict[str, object]:
        return super().terms | self.software

    @property
    def counts(self) -> Counter[Operation]:
        """Of all operations, each module by itself."""
        return expanded(self.operations)

    @property
    def launches(self) -> int | None:
        """Kernels of a step, None on a CPU."""
        return None if self.kernels is None else sum(self.kernels.values())

    @property
    def state_bytes(self) -> int:
        """Of weights, gradients and optimiser together."""
        return self.parameter_bytes + self.gradient_bytes + self.optimiser_bytes


def compressed(counts: Mapping[Operation, int]) -> dict[str, int]:
    """By text, modules that differ by a number and are alike in all else together: what a deep model repeats is stored once."""
    found = dict(counts)
    for place in range(max((op.module.count(".") + 1 for op in found), default=0)):
        groups: dict[tuple[Operation, int], dict[int, Operation]] = {}
        for op, count in found.items():
            parts = op.module.split(".")
            if place < len(parts) and _is_number(parts[place]):
                groups.setdefault((_at(op, place, ""), count), {})[int(parts[place])] = op
        for (blank, count), members in groups.items():
            for first, last in _runs(sorted(members)):
                if last > first:
                    for number in range(first, last + 1):
                        del found[members[number]]
                    found[_at(blank, place, f"[{first}-{last}]")] = count
    return {op.text: count for op, count in sorted(found.items())}


def expanded(operations: Mapping[str, int]) -> Counter[Operation]:
    """The inverse of `compressed`."""
    counts: Counter[Operation] = Counter()
    for text, count in operations.items():
        op = Operation.parsed(text)
        for module in _modules(op.module):
            counts[op._replace(module=module)] += count
    return counts


def _at(op: Operation, place: int, name: str) -> Operation:
    """With another name at a place of its module's path."""
    parts = op.module.split(".")
    return op._replace(module=".".join([*parts[:place], name, *parts[place + 1 :]]))


def _modules(pattern: str) -> Iterator[str]:
    names = [_numbers(part) or [part] for part in pattern.split(".")]
    return (".".join(chosen) for chosen in itertools.product(*names))


def _numbers(part: str) -> list[str]:
    match = RANGE.fullmatch(part)
    return [str(number) for number in range(int(match[1]), int(match[2]) + 1)] if match else []


def _is_number(part: str) -> bool:
    """As a list of modules counts its own: "01" is a name."""
    return part.isdecimal() and str(int(part)) == part


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of numbers that follow each other."""
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        yield members[0], members[-1]
