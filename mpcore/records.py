"""Every record that crosses a border between modules: frozen, validated, with the units in the field names.

What one test measured is a `Speed`, a `Quality` or a `Numerics`; with its verdicts it is a `Result`, and the results
of one session with the machine they were measured on are a `Run`. Figures that follow from others (a throughput, a
speed-up) are properties and are never stored. A figure that is not finite is stored as None, for JSON has no NaN.
"""

import math
import statistics
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

SCHEMA = 1
"""Version of the layout below, stored with every result."""

Size = Literal["tiny", "full"]
Finite = Annotated[float | None, AfterValidator(lambda x: x if x is None or math.isfinite(x) else None)]
Confusion = tuple[tuple[int, ...], ...]
"""Counts; rows are the true classes, columns the predicted ones."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(Record):
    """What is measured, in names only, so that it can travel as JSON."""

    workload: str
    precision: str
    execution: str = "eager"
    size: Size
    seed: int = 0

    @property
    def id(self) -> str:
        return f"{self.workload}-{self.precision}-{self.execution}-{self.size}"

    def in_precision(self, precision: str) -> "Case":
        """The same case in another mode."""
        return self.model_copy(update={"precision": precision})


class Recipe(Record):
    """How a workload is trained. `optimiser` is the name of a class in torch.optim that has a fused kernel."""

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    weight_decay: float = 0.01


class Blocks(Record):
    """Wall times of blocks of `steps` training steps, each between two synchronisations of the device."""

    steps: PositiveInt
    seconds: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]

    @property
    def step_seconds(self) -> float:
        """Median time of one step."""
        return statistics.median(self.seconds) / self.steps


class Speed(Record):
    """Time and memory of one training step. `references` holds the modes that were timed alternately with it."""

    kind: Literal["speed"] = "speed"
    case: Case
    workload_version: PositiveInt
    device: str
    batch_size: PositiveInt
    unit: str
    blocks: Blocks
    references: dict[str, Blocks]
    peak_allocated_bytes: NonNegativeInt | None
    peak_reserved_bytes: NonNegativeInt | None
    loss_before: Finite
    loss_after: Finite
    loss_scale: Finite
    skipped_steps: NonNegativeInt
    flops_per_step: NonNegativeInt
    half_flops_share: float

    @property
    def units_per_second(self) -> float:
        return self.batch_size / self.blocks.step_seconds

    def speedup(self, reference: str) -> float | None:
        """How many times faster than `reference`: the median ratio of neighbouring blocks."""
        other = self.references.get(reference)
        if other is None:
            return None
        pairs = zip(other.seconds, self.blocks.seconds, strict=True)
        return statistics.median(r / c for r, c in pairs) * self.blocks.steps / other.steps


class Divergence(Record):
    """A training that came to nothing; `step` counts from 1."""

    step: PositiveInt
    reason: str


class Training(Record):
    """One training to the end of its recipe, from one seed. Curves hold the mean of every `steps_per_point` steps."""

    seed: int
    steps: NonNegativeInt
    train_seconds: PositiveFloat
    evaluation_seconds: PositiveFloat
    metrics: dict[str, float]
    confusion: Confusion | None
    steps_per_point: PositiveInt
    losses: tuple[Finite, ...]
    loss_scales: tuple[Finite, ...]
    skipped_steps: NonNegativeInt
    diverged: Divergence | None


class Quality(Record):
    """What trainings from several seeds reached. `metric` names the figure that counts, in 0 to 1."""

    kind: Literal["quality"] = "quality"
    case: Case
    workload_version: PositiveInt
    device: str
    batch_size: PositiveInt
    unit: str
    weights: str
    data: str
    rows: dict[str, PositiveInt]
    metric: str
    trainings: Annotated[tuple[Training, ...], Field(min_length=1)]

    def mean(self, metric: str) -> float:
        return statistics.fmean(t.metrics[metric] for t in self.trainings)

    @property
    def train_seconds(self) -> float:
        return statistics.median(t.train_seconds for t in self.trainings)

    @property
    def evaluation_seconds(self) -> float:
        return statistics.median(t.evaluation_seconds for t in self.trainings)

    @property
    def diverged(self) -> bool:
        return any(t.diverged for t in self.trainings)


class Numerics(Record):
    """Errors against FP64 on one fixed batch, dropout off.

    Errors are relative: |x - x64| / |x64|, with Euclidean norms over all trainable parameters. `flushed_share` is
    the share of gradient entries that are not zero in FP64 and are zero here.
    """

    kind: Literal["numerics"] = "numerics"
    case: Case
    workload_version: PositiveInt
    device: str
    batch_size: PositiveInt
    unit: str
    seconds: PositiveFloat
    loss_error: Finite
    gradient_error: Finite
    flushed_share: Finite
    updates: NonNegativeInt
    update_error: Finite
    skipped_steps: NonNegativeInt
    half_flops_share: float


AnyRecord = Annotated[Speed | Quality | Numerics, Field(discriminator="kind")]

Status = Literal["same", "better", "worse", "undecided", "new"]


class Verdict(Record):
    """What the gate says of one figure. `limit` and `value` are in the unit the sentence names."""

    kind: str
    case: str
    metric: str
    status: Status
    value: Finite
    limit: Finite
    sentence: str
    known: bool = False
    """Whether that it is worse is what its mode is known for, and no fault."""

    @property
    def passed(self) -> bool:
        return self.known or self.status not in ("worse", "undecided")


class Result(Record):
    """One record and what the gate said of it: what a benchmark carries in `extra_info["mpcore"]`."""

    layout: PositiveInt = SCHEMA
    record: AnyRecord
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        return all(v.passed for v in self.verdicts)


class Hardware(Record):
    """The machine. Memory and power of one device; None where it cannot be read."""

    device: str
    name: str
    count: PositiveInt
    memory_bytes: int | None
    power_limit_watts: float | None
    mig: str | None
    uuid: str | None
    capability: str | None
    cpu: str
    cores: PositiveInt


class Machine(Record):
    """Hardware, and versions of the software that is being tested."""

    hardware: Hardware
    software: dict[str, str]


class Run(Record):
    """One saved session, and the command line that made it."""

    path: str
    command: str
    datetime: str
    commit: str | None
    machine: Machine
    results: tuple[Result, ...]
