"""Every record that crosses a border between modules: frozen, validated, with the units in the field names.

What one test measured is a `Speed`, a `Quality` or a `Numerics`; with its verdicts it is a `Result`, and the results
of one session with the machine they were measured on are a `Run`. Figures that follow from others (a throughput, a
speed-up) are properties and are never stored. A figure that is not finite is stored as None, for JSON has no NaN.
"""

import math
import re
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    model_validator,
)

SCHEMA = 3
"""Version of the layout below, stored with every result. Those from 2 on are readable: what is new since has a default."""

Size = Literal["tiny", "full"]
Number = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Without NaN and infinity, which parsers of JSON take though it has neither."""


def _finite(value: float | None, info: ValidationInfo) -> float | None:
    if value is None or math.isfinite(value):
        return value
    if info.mode == "json":  # which has no such thing, though parsers take it
        raise ValueError(f"Expected a finite number, found {value}")
    return None


Finite = Annotated[float | None, AfterValidator(_finite)]


def _not_negative(value: float | None) -> float | None:
    if value is not None and value < 0:
        raise ValueError("Expected no figure below 0")
    return value


Error = Annotated[Finite, AfterValidator(_not_negative)]
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
    batch_size: PositiveInt | None = None
    """None for that of the workload's recipe."""

    @property
    def id(self) -> str:
        batch = "" if self.batch_size is None else f"-b{self.batch_size}"
        return f"{self.workload}-{self.precision}-{self.execution}-{self.size}{batch}"

    def in_precision(self, precision: str) -> "Case":
        """The same case in another mode."""
        return self.model_copy(update={"precision": precision})


class Recipe(Record):
    """How a workload is trained. `optimiser` is the name of a class in torch.optim that has a fused kernel."""

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    weight_decay: Number = 0.01
    test_each_epoch: bool = False
    """Whether it is tested after each epoch, and not only after the last."""


class Blocks(Record):
    """Wall times of blocks of `steps` training steps, each between two synchronisations of the device."""

    steps: PositiveInt
    seconds: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]

    @property
    def step_seconds(self) -> float:
        """Median time of one step."""
        return statistics.median(self.seconds) / self.steps


class Kernel(Record):
    """What a step launches under one name: on a GPU kernels and copies, on a CPU operations. `count` and `seconds` (of
    device time, all launches together) are those of one step."""

    name: str
    count: PositiveFloat
    seconds: NonNegativeFloat


class Family(Record):
    """All kernels of one kind and format. `bits` is the width that they read and write, None where no name tells."""

    name: str
    bits: Literal[16, 32] | None
    count: PositiveFloat
    seconds: NonNegativeFloat


class Profile(Record):
    """The kernels of one step: the longest, longest first, the others as one sum, and all of them by family."""

    kernels: tuple[Kernel, ...]
    rest: Kernel | None
    families: tuple[Family, ...]

    @property
    def seconds(self) -> float:
        """Device time of one step."""
        return sum(f.seconds for f in self.families)


class Reference(Record):
    """Another mode that a case was timed against.

    `rounds` are the case's own blocks that took turns with these, A B B A; where it is None the reference was measured
    apart, and is compared with the case's `blocks`. dropped_blocks: rounds in which the GPU said that it was slowed down.
    """

    blocks: Blocks
    rounds: Blocks | None
    dropped_blocks: NonNegativeInt = 0

    @model_validator(mode="after")
    def _pairs(self) -> "Reference":
        if self.rounds is not None and len(self.rounds.seconds) != len(self.blocks.seconds):
            raise ValueError(f"{len(self.blocks.seconds)} blocks took turns with {len(self.rounds.seconds)}")
        return self


class GpuState(Record):
    """What the GPU said of itself, once in every timed block of the case: seconds since the first, the clock of its
    multiprocessors, power, temperature, and the energy it has used since its driver was loaded."""

    at_seconds: tuple[Number, ...]
    sm_mhz: tuple[NonNegativeInt, ...]
    watts: tuple[NonNegativeFloat, ...]
    celsius: tuple[int, ...]
    joules: tuple[NonNegativeFloat, ...]
    limits: tuple[str, ...]
    """Reasons for which the clock was held back in any block, slowdowns and the power cap alike."""
    other_processes: NonNegativeInt

    @property
    def mean_watts(self) -> float | None:
        """The slope of energy over time, by least squares: the counter moves ten times a second only."""
        if len(self.joules) < 4:
            return None
        slope = statistics.linear_regression(self.at_seconds, self.joules).slope
        return slope if slope > 0 else None


class Measurement(Record):
    """What all records of a case hold. units_per_sample: where a sample of the batch is more than one of what is counted, as a
    sequence is of tokens."""

    case: Case
    workload_version: PositiveInt
    device: str
    batch_size: PositiveInt
    unit: str
    units_per_sample: PositiveInt = 1

    @property
    def samples(self) -> str:
        """What a batch holds, in the plural."""
        return self.unit if self.units_per_sample == 1 else f"samples of {self.units_per_sample:,} {self.unit}"


class Speed(Measurement):
    """Time and memory of one training step, and what it spends them on.

    blocks: of the case, as its execution runs it. eager: of the same step launched by Python, where a graph was captured.
    references: by mode; missing: by mode, why a reference could not be measured. drift: by mode, how much longer a
    reference took at the end of its workload than at the beginning, as a share. remark: what the mode has to say of itself.
    pool_bytes: what the graph holds beside weights and optimiser, None where none was captured. ceiling_flops: per second,
    of a large matrix product in the mode's format; with gpu and profile None where there is no GPU, or no NVML.
    dropped_blocks: in which the GPU said that it was slowed down.
    """

    kind: Literal["speed"] = "speed"
    remark: str | None = None
    blocks: Blocks
    eager: Blocks | None
    references: dict[str, Reference]
    missing: dict[str, str] = {}
    drift: dict[str, Number] = {}
    peak_allocated_bytes: NonNegativeInt | None
    peak_reserved_bytes: NonNegativeInt | None
    pool_bytes: NonNegativeInt | None
    loss_before: Finite
    loss_after: Finite
    loss_scale: Finite
    skipped_steps: NonNegativeInt
    flops_per_step: NonNegativeInt
    half_flops_share: Number
    ceiling_flops: PositiveFloat | None
    profile: Profile | None
    gpu: GpuState | None
    dropped_blocks: NonNegativeInt

    @property
    def units_per_second(self) -> float:
        return self.batch_size * self.units_per_sample / self.blocks.step_seconds

    def speedup(self, reference: str) -> float | None:
        """How many times faster than `reference`: the median ratio of neighbouring blocks, or the ratio of medians of
        blocks measured apart."""
        other = self.references.get(reference)
        if other is None:
            return None
        if other.rounds is None:
            return other.blocks.step_seconds / self.blocks.step_seconds
        pairs = zip(other.blocks.seconds, other.rounds.seconds, strict=True)
        return statistics.median(r / c for r, c in pairs) * other.rounds.steps / other.blocks.steps

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_step / self.blocks.step_seconds

    @property
    def ceiling_share(self) -> float | None:
        """Model FLOPs utilisation, against what this GPU was measured to reach in the mode's format."""
        return None if self.ceiling_flops is None else self.flops_per_second / self.ceiling_flops

    @property
    def launch_overhead(self) -> float | None:
        """How many times longer a step takes when Python launches it."""
        return None if self.eager is None else self.eager.step_seconds / self.blocks.step_seconds

    @property
    def busy_share(self) -> float | None:
        """The share of an eager step in which the GPU computes."""
        if self.profile is None or self.device == "cpu":
            return None
        return min(1.0, self.profile.seconds / (self.eager or self.blocks).step_seconds)

    @property
    def joules_per_step(self) -> float | None:
        watts = None if self.gpu is None else self.gpu.mean_watts
        return None if watts is None else watts * self.blocks.step_seconds


class Divergence(Record):
    """A training that came to nothing; `step` counts from 1."""

    step: PositiveInt
    reason: str


class Training(Record):
    """One training to the end of its recipe, from one seed. Curves hold the mean of every `steps_per_point` steps. `epochs`:
    the metrics after each epoch, where the recipe asks for them; the last are `metrics`. train_seconds are without tests."""

    seed: int
    steps: NonNegativeInt
    train_seconds: PositiveFloat
    evaluation_seconds: PositiveFloat
    metrics: dict[str, Finite]
    epochs: tuple[dict[str, Finite], ...] = ()
    confusion: Confusion | None
    steps_per_point: PositiveInt
    losses: tuple[Finite, ...]
    loss_scales: tuple[Finite, ...]
    skipped_steps: NonNegativeInt
    diverged: Divergence | None


class Quality(Measurement):
    """What trainings from several seeds reached. `metric` names the figure that counts: in 0 to 1 and the higher the better,
    or, where `lower_is_better`, above 0. uninformed: what a prediction that has learnt nothing reaches, None where the workload
    knows none. picture: a PNG, as base64, of what the first training predicts for one sample."""

    kind: Literal["quality"] = "quality"
    weights: str
    data: str
    rows: dict[str, PositiveInt]
    metric: str
    lower_is_better: bool = False
    uninformed: Finite = None
    trainings: Annotated[tuple[Training, ...], Field(min_length=1)]
    picture: str | None = None

    def values(self, metric: str) -> list[float]:
        """One for each training, NaN where it was not finite."""
        return [math.nan if (value := t.metrics[metric]) is None else value for t in self.trainings]

    def mean(self, metric: str) -> float:
        return statistics.fmean(self.values(metric))

    def gains(self, others: Sequence["Quality"]) -> list[float]:
        """For each seed that all have, by how many points its training is better than theirs are on average: see
        `points_above`. Same seed, same order of the data."""
        scale = math.log if self.lower_is_better else float
        ours, *theirs = (dict(zip((t.seed for t in q.trainings), q.values(q.metric), strict=True)) for q in (self, *others))
        common = [seed for seed in ours if all(seed in q for q in theirs)]
        sign = -1 if self.lower_is_better else 1
        return [sign * 100 * (scale(ours[s]) - statistics.fmean(scale(q[s]) for q in theirs)) for s in common]

    def points_over(self, reference: "Quality") -> float:
        """How much better than `reference` on average."""
        return self.points_above(reference.mean(self.metric))

    def points_above(self, theirs: float) -> float:
        """How much better than `theirs` on average: in percentage points of the metric, or, where lower is better, in per cent
        of it, as 100 ln(theirs / ours)."""
        ours = self.mean(self.metric)
        return 100 * (math.log(theirs / ours) if self.lower_is_better else ours - theirs)

    @property
    def train_seconds(self) -> float:
        return statistics.median(t.train_seconds for t in self.trainings)

    @property
    def evaluation_seconds(self) -> float:
        return statistics.median(t.evaluation_seconds for t in self.trainings)

    @property
    def diverged(self) -> bool:
        return any(t.diverged for t in self.trainings)


class Numerics(Measurement):
    """Errors against FP64 on one fixed batch, dropout off.

    Errors are relative: |x - x64| / |x64|, with Euclidean norms over all trainable parameters. `flushed_share` is
    the share of gradient entries that are not zero in FP64 and are zero here.
    """

    kind: Literal["numerics"] = "numerics"
    seconds: PositiveFloat
    loss_error: Error
    gradient_error: Error
    flushed_share: Error
    updates: NonNegativeInt
    update_error: Error
    skipped_steps: NonNegativeInt
    half_flops_share: Number


class Parity(Measurement):
    """Our step, or training, against that of another trainer, in turns on the same model, data, optimiser and mode.

    Blocks of a training hold its steps. `scores` are the metric that counts, in 0 to 1, by "ours" and "theirs".
    """

    kind: Literal["parity"] = "parity"
    rival: str
    rival_version: str
    ours: Blocks
    theirs: Blocks
    dropped_blocks: NonNegativeInt = 0
    scores: dict[str, Number] = {}

    @model_validator(mode="after")
    def _pairs(self) -> "Parity":
        if len(self.ours.seconds) != len(self.theirs.seconds):
            raise ValueError(f"{len(self.ours.seconds)} blocks took turns with {len(self.theirs.seconds)}")
        return self

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the median over pairs."""
        pairs = zip(self.theirs.seconds, self.ours.seconds, strict=True)
        return statistics.median(t / o for t, o in pairs) * self.ours.steps / self.theirs.steps


class Selection(Record):
    """What is to be measured, on what and with which data, in names only; where none is given, the default. load: files that
    register workloads or modes."""

    workloads: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    executions: tuple[str, ...] = ()
    size: Size | None = None
    batch_sizes: tuple[PositiveInt, ...] = ()
    device: str | None = None
    data: str | None = None
    load: tuple[str, ...] = ()


class Timing(Measurement):
    """The time of a training step and nothing else. pool_bytes: what its graph holds beside weights and optimiser, None where
    none was captured. dropped_blocks: in which the GPU said that it was slowed down. profile: where it was asked for."""

    kind: Literal["timing"] = "timing"
    blocks: Blocks
    pool_bytes: NonNegativeInt | None
    dropped_blocks: NonNegativeInt = 0
    profile: Profile | None = None


class Failure(Record):
    """Why a case was not measured, or with no case, why nothing was. skipped: whether this machine cannot run it, which is no
    fault."""

    kind: Literal["failure"] = "failure"
    case: Case | None
    sentence: str
    skipped: bool = False


class Listing(Record):
    """The cases of a selection, each with the reason where the machine cannot run it. unknown: what the selection names and is
    not there, a sentence each."""

    kind: Literal["listing"] = "listing"
    machine: "Machine"
    cases: tuple[tuple[Case, str | None], ...]
    unknown: tuple[str, ...] = ()


class Order(Record):
    """What a process is to do: to measure a `Timing` of a case, or a `Speed`; or, with no case, to list those of its selection.
    handicap: how many times longer a step is made to take, by a wait on the device."""

    case: Case | None = None
    kind: Literal["timing", "speed"] = "timing"
    profile: bool = False
    handicap: Annotated[Number, Field(ge=1)] = 1.0


class Ready(Record):
    """What a process says that waits for its first order."""

    kind: Literal["ready"] = "ready"


class Published(Record):
    """A figure of a paper or an article. speedup: how many times as fast as `over`. per_second: of what the workload counts.
    Never judged by: other hardware, other software, and often another recipe."""

    source: str
    workload: str
    setting: str
    hardware: str
    precision: str
    train_seconds: PositiveFloat | None = None
    evaluation_seconds: PositiveFloat | None = None
    per_second: PositiveFloat | None = None
    speedup: PositiveFloat | None = None
    over: str | None = None
    memory_gb: PositiveFloat | None = None
    metrics: dict[str, Number] = {}
    note: str = ""


AnyRecord = Annotated[Speed | Quality | Numerics | Parity, Field(discriminator="kind")]

Status = Literal["same", "better", "worse", "undecided", "new"]


class Verdict(Record):
    """What the gate says of one figure. `limit` and `value` are in the unit the sentence names.

    compared: whether with accepted runs, or head with base, and not with what the mode must reach. Then `ratio` is that to
    the other side's figure, and `interval` where it lies: the two one-sided bounds.
    """

    kind: str
    case: str
    metric: str
    status: Status
    value: Finite
    limit: Finite
    ratio: Finite = None
    interval: tuple[Finite, Finite] | None = None
    compared: bool = False
    sentence: str
    known: bool = False
    """Whether that it is worse is what its mode is known for, and no fault."""

    @property
    def passed(self) -> bool:
        """What must be reached fails until it is shown; what is compared passes until it is shown to be worse."""
        return self.known or self.status not in (("worse",) if self.compared else ("worse", "undecided"))

    @property
    def open(self) -> bool:
        """Whether it passes because nothing is known: what --mp-strict is about."""
        return self.compared and not self.known and self.status in ("undecided", "new")


class Result(Record):
    """One record and what the gate said of it: what a benchmark carries in `extra_info["mpcore"]`."""

    layout: PositiveInt = SCHEMA
    record: AnyRecord
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        return all(v.passed for v in self.verdicts)


class Hardware(Record):
    """The machine. Memory and power of one device; None where it cannot be read. default_watts: the power limit that the
    device is delivered with."""

    device: str
    name: str
    count: PositiveInt
    memory_bytes: int | None
    power_limit_watts: Number | None
    default_watts: Number | None = None
    mig: str | None
    uuid: str | None
    capability: str | None
    cpu: str
    cores: PositiveInt

    @property
    def key(self) -> str:
        """What makes two machines comparable, as the name of a folder: "nvidia-h200", "nvidia-h200-x2", "nvidia-h200-600w"
        where the power limit is not the usual one, "intel-xeon-processor-2-cores". A GPU's name tells its memory, and under
        MIG its profile."""
        name = re.sub(r"\W+", "-", re.sub(r"\((R|TM)\)", "", self.name, flags=re.IGNORECASE).lower()).strip("-")
        if self.device == "cpu":
            return f"{name}-{self.cores}-cores"
        limit, usual = self.power_limit_watts, self.default_watts
        watts = f"-{limit:.0f}w" if limit and usual and round(limit) != round(usual) else ""
        mig = "-mig" if self.mig == "on" and "mig" not in name else ""
        return name + (f"-x{self.count}" if self.count > 1 else "") + mig + watts


class Machine(Record):
    """Hardware, and versions of the software that is being tested."""

    hardware: Hardware
    software: dict[str, str]


class Accepted(Record):
    """Why and when a run became a baseline, and the tests that had failed in it and were overruled."""

    reason: Annotated[str, Field(min_length=1)]
    datetime: str
    overruled: tuple[str, ...] = ()


class FailedTest(Record):
    """A test of a case that failed, by its node id, and why."""

    test: str
    sentence: str


class Run(Record):
    """One saved session, and the command line that made it. failed: tests that failed, whether or not they left a result.
    accepted: where it is a baseline."""

    path: str
    command: str
    datetime: str
    commit: str | None
    machine: Machine
    results: tuple[Result, ...]
    failed: tuple[FailedTest, ...] = ()
    accepted: Accepted | None = None

    @property
    def machine_start(self) -> str:
        """What tells one start of a machine from another, which may be faster or slower: its GPU, or else the day."""
        return self.machine.hardware.uuid or self.datetime[:10]


Answer = Annotated[Ready | Listing | Timing | Speed | Failure, Field(discriminator="kind")]


class Contender(Record):
    """One of two that are compared: a tree, run by a Python. commit: None for a folder, or a working tree with changes."""

    name: str
    commit: str | None
    python: str
    handicap: Number = 1.0
    machine: Machine


class Pair(Record):
    """A case in one fresh process of base and one of head: seconds of a step, median block."""

    base_seconds: PositiveFloat
    head_seconds: PositiveFloat
    head_first: bool


class Compared(Record):
    """A case in base and head. confirmation: pairs that were measured because the others said `worse`. lost: why pairs are not
    whole. pool_bytes: what the graph holds, the median of the processes, of base and of head."""

    case: Case
    pairs: tuple[Pair, ...]
    confirmation: tuple[Pair, ...] = ()
    lost: tuple[str, ...] = ()
    pool_bytes: tuple[NonNegativeInt, NonNegativeInt] | None = None
    verdicts: tuple[Verdict, ...]


class Comparison(Record):
    """Base against head. failures and skipped: by case, why nothing can be said of it; skipped where this machine runs it in
    neither."""

    kind: Literal["comparison"] = "comparison"
    base: Contender
    head: Contender
    selection: Selection
    seed: int
    datetime: str
    cases: tuple[Compared, ...]
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}

    @property
    def statuses(self) -> set[Status]:
        return {verdict.status for compared in self.cases for verdict in compared.verdicts}
