"""What is said to a process that measures, and what it answers."""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveInt

from mpcore.records.base import Bytes, NonNegativeFloat, Number, Record
from mpcore.records.case import Case
from mpcore.records.loaded import Loaded
from mpcore.records.machine import Machine
from mpcore.records.measurement import Blocks, Measurement
from mpcore.records.numerics import Numerics
from mpcore.records.parallel import Parallel
from mpcore.records.profile import Profile
from mpcore.records.quality import Quality
from mpcore.records.speed import Speed
from mpcore.records.work import Work

RequestKind = Literal["timing", "speed", "work", "speedup", "parallel", "loaded", "numerics", "accuracy"]


class Request(Record):
    """What a process is to do.

    It measures a `Timing` of a case, a `Speed`, its `Work`, its `Numerics`, its trainings (accuracy), or what ranks have in
    common (parallel). speedup is a `Speed` with the references that a session times it against. Without a case it lists those
    of its selection, or the code that it has loaded. slowdown: how many times longer a step is made to take, by a wait on the
    device. rounds: of trainings, each from as many seeds again.
    """

    case: Case | None = None
    kind: RequestKind = "timing"
    profile: bool = False
    slowdown: Annotated[Number, Field(ge=1)] = 1.0
    rounds: PositiveInt = 1


class Ready(Record):
    """What a process says that waits for its first request."""

    kind: Literal["ready"] = "ready"


class Timing(Measurement):
    """The time of a training step and nothing else. pool_bytes: what its graph holds beside weights and optimiser, None where
    none was captured. dropped_blocks: in which the GPU said that it was slowed down. profile: where it was asked for."""

    kind: Literal["timing"] = "timing"
    blocks: Blocks
    pool_bytes: Bytes | None
    dropped_blocks: NonNegativeInt = 0
    profile: Profile | None = None


class Failure(Record):
    """Why a case was not measured, or with no case, why nothing was. skipped: whether this machine cannot run it, which is no
    fault. large: whether it is skipped because it needs more memory than there is. hung: whether it was ended because it took
    too long."""

    kind: Literal["failure"] = "failure"
    case: Case | None
    sentence: str
    skipped: bool = False
    large: bool = False
    hung: bool = False


class Listing(Record):
    """The cases of a selection, each with the reason where the machine cannot run it. unknown: what the selection names and is
    not there, each with a sentence. own: whether anything was imported from the tree that the process runs in. kinds: of
    requests that the process understands; one of an older commit does not say, and understands these two. alone: whether the
    cases are of the workloads that loaded files register, and of no others for that. waits: whether ranks touch no device
    before a case is asked for, which those of an older commit do."""

    kind: Literal["listing"] = "listing"
    machine: "Machine"
    cases: tuple[tuple[Case, str | None], ...]
    unknown: tuple[tuple[str, str], ...] = ()
    own: bool = True
    alone: bool = False
    kinds: tuple[str, ...] = ("timing", "speed")
    waits: bool = False


class Joined(Record):
    """What a rank says first on its line to whoever has started it. process: its id."""

    kind: Literal["joined"] = "joined"
    rank: NonNegativeInt
    process: NonNegativeInt


class Fault(Record):
    """What has failed in a rank, said at once, though others may wait for it."""

    kind: Literal["fault"] = "fault"
    sentence: str


class Alive(Record):
    """What a rank says while it trains. seconds: that its steps take until it says so again, as far as those before tell."""

    kind: Literal["alive"] = "alive"
    seconds: NonNegativeFloat


KINDS: tuple[str, ...] = get_args(RequestKind)
"""What a process of this version understands."""
Response = Annotated[
    Ready | Listing | Loaded | Timing | Speed | Work | Numerics | Quality | Parallel | Failure, Field(discriminator="kind")
]
