"""What the ranks of a step have in common."""

from hashlib import sha256
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from mpcore.records.base import Error, Finite, Record
from mpcore.records.case import OWN_STRATEGY, OWN_TRAINER
from mpcore.records.collective import Collective
from mpcore.records.measurement import Measurement


class RankState(Record):
    """What a rank has after some steps: hashes of what is trained, of the model's weights, of what the optimiser remembers and
    of the buffers. masters: what the optimiser updates, which may be the weights themselves."""

    masters: str
    weights: str
    optimiser: str
    buffers: str
    loss_scale: Finite = None
    skipped_steps: NonNegativeInt = 0

    @property
    def empty(self) -> bool:
        """Whether these are hashes of nothing."""
        return {self.masters, self.weights, self.optimiser} == {sha256().hexdigest()}

    def differs(self, other: "RankState", *, buffers: bool = False) -> list[str]:
        """What is not the same, in words. buffers: those, too, such as the running statistics of a BatchNorm: they may be each
        rank's own."""
        names = {
            "masters": "what the optimiser updates",
            "weights": "the weights of the model",
            "optimiser": "the state of the optimiser",
            **({"buffers": "the buffers of the model"} if buffers else {}),
            "loss_scale": "the loss scale",
            "skipped_steps": "the number of skipped steps",
        }
        return [text for name, text in names.items() if getattr(self, name) != getattr(other, name)]


class OnePart(Record):
    """What ranks average where the batch of each goes through in one part. Fields are those of `Parallel`, whose batch goes
    through in several."""

    losses: tuple[Finite, ...] | None = None
    mode_error: Error = None
    settling: NonNegativeInt | None = None
    settling_alone: NonNegativeInt | None = None


class Repetition(Record):
    """All ranks after each of two trainings from one seed, without the model's dropout, by kernels that add in one order where
    torch has such.

    by_python: whether Python launches the second, where the first is replayed as a graph. apart: names of weights that are not
    the same, in the order of the model. excuse: why the second cannot be the same.
    """

    steps: PositiveInt
    first: tuple[RankState, ...]
    second: tuple[RankState, ...]
    by_python: bool = False
    apart: tuple[str, ...] = ()
    excuse: str | None = None


class Unlike(Record):
    """What one rank does in a step otherwise than rank 0. By the text of an operation, or the name of a kernel: how often on
    rank 0, and on this one."""

    rank: PositiveInt
    on_first: dict[str, PositiveInt]
    here: dict[str, PositiveInt]


class Parallel(Measurement):
    """What ranks have after training from one seed, each on its own batches, and what they sent for it.

    sharded: whether a rank has a part of each weight; then no rank has what another has, and two trainings are compared.
    repetition: these two; of replicas, too, where a step is replayed as a graph. None where there is nothing to compare.
    apart: names of weights that replicas have otherwise, in the order of the model. one_batch: whether the ranks of a step
    that brings its own batches were all given the same ones, so that replicas are equal whatever is sent.
    operations: of ranks that dispatch others than rank 0 in an eager step on one and the same batch, shapes left out. None of a
    step that brings its own batches, and where not all are seen.
    kernels: of ranks whose graph launches others; None without a graph that can be read.
    planted: after one more step, in which the loss of the last rank is infinite; None where no step is skipped for that.
    reduced: elements of gradients that one step must average; None where only the author of the step knows. accumulated: those
    that one averages whose batch goes through in parts; of another trainer all that it sends.

    reference: the mode that errors are against, `fp32` where FP64 cannot run. losses: of each rank on its part of the batch of
    all, in the mode. mode_error: relative error of the averaged gradient. It is held against the gradient that one rank
    computes, with the batch of all in parts. like_error: the same of `like`, the strategy that this one must be as near to FP64
    as. fp64_error: the same of ranks in FP64. joint_error: theirs against the batch in one piece, at most; None where in FP64
    too parts are not the whole, or the whole needs more memory than there is. The latter is `joint_too_large`. Both errors are
    None where there is no FP64.

    settling: steps that are skipped until the loss scale fits what ranks average. settling_alone: the same of the rank that
    skips most, where none averages. Each is None without a scale.

    one_part: the same of a batch in one part; None where that was not measured. one_part_too_large: whether a part needs more
    memory than there is.
    """

    kind: Literal["parallel"] = "parallel"
    steps: PositiveInt
    sharded: bool
    ranks: tuple[RankState, ...]
    repetition: Repetition | None = None
    apart: tuple[str, ...] = ()
    one_batch: bool = False
    operations: tuple[Unlike, ...] | None = None
    kernels: tuple[Unlike, ...] | None = None
    planted: tuple[RankState, ...] | None = None
    collectives: tuple[Collective, ...]
    alike: bool
    """Whether all ranks call the same."""
    reduction: str = ""
    reduced: NonNegativeInt | None = None
    accumulated: NonNegativeInt | None = None
    reference: str = "fp64"
    losses: tuple[Finite, ...] | None = None
    mode_error: Error = None
    like: str | None = None
    like_error: Error = None
    unlike: str | None = None
    """Why the other strategy, `like`, was not measured."""
    fp64_error: Error = None
    joint_error: Error = None
    joint_too_large: bool = False
    settling: NonNegativeInt | None = None
    settling_alone: NonNegativeInt | None = None
    one_part: OnePart | None = None
    one_part_too_large: bool = False

    @property
    def terms(self) -> dict[str, object]:
        return super().terms | {"reference": self.reference}

    @property
    def compared(self) -> bool:
        """Whether the averaged gradient was compared with one rank's. Its error says so only where it is finite."""
        return self.case.strategy != OWN_STRATEGY

    @property
    def compared_in_fp64(self) -> bool:
        """Whether the ranks were, in FP64, too."""
        return self.compared and self.case.trainer == OWN_TRAINER and self.reference == "fp64"
