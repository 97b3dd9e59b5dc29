"""What ranks that train together must have in common, exactly, and how far from FP64 what they average may be."""

from collections.abc import Iterator

from mpcore.errors import sentences
from mpcore.gate.checks.check import new_check, passed
from mpcore.gate.digits import as_judged, told_apart
from mpcore.gate.limits import FP64_PARTS_ERROR, LIKE_ERROR_TIMES, SLOWER_RANK_TIMES
from mpcore.gate.operations import differences, explained, listed
from mpcore.gate.work import is_chosen
from mpcore.records import OWN_STRATEGY, Check, Parallel, RankState, Repetition, Speed, Unlike
from mpcore.records.work import expanded

Losses = tuple[float | None, ...] | None
NOTHING_COMPARED = (
    "replicas are not compared: parameters() gives no weight, and optimisers() no state; expected what the step learns"
)
OF_SHARDS = "parts of weights may have other sizes on each rank"
OF_ITS_AUTHOR = "only its author knows what ranks are to do"
ONE_BATCH = (
    "all ranks are given the same batches. Replicas are then equal even if nothing is averaged; expected other batches on each "
    "rank"
)
IN_ANY_ORDER = "kernels that are not torch's may add in any order, and differ by themselves"


def parallel_checks(parallel: Parallel) -> Iterator[Check]:
    yield _replicas(parallel)
    if parallel.planted is not None:
        yield _skipped(parallel, parallel.planted)
    if parallel.repetition is not None and not parallel.sharded:
        yield _repeated(parallel, "graph", parallel.repetition)
    yield _alike(parallel)
    if parallel.operations is not None:
        yield _operations(parallel, parallel.operations)
    if parallel.kernels is not None:
        yield _kernels(parallel, parallel.kernels)
    if parallel.reduced is not None:
        found = sum(c.elements for c in parallel.collectives if c.operation == parallel.reduction)
        yield _reduced(parallel, "averaged gradients", "a step", found, parallel.reduced)
    if parallel.reduced is not None and parallel.accumulated is not None:
        what = "a step whose batch goes through in parts"
        yield _reduced(parallel, "accumulated gradients", what, parallel.accumulated, parallel.reduced)
    if parallel.compared_in_fp64:
        yield _error(parallel, "in parts", parallel.fp64_error, FP64_PARTS_ERROR, "FP64", parallel.losses)
    if parallel.joint_error is not None:
        yield _error(parallel, "in one piece", parallel.joint_error, FP64_PARTS_ERROR, "FP64")
    if parallel.joint_too_large:
        sentence = "the gradient is not compared with the batch of all in one piece: FP64 needs more memory than one GPU has"
        yield new_check(parallel, "gradient in FP64 in one piece", "passed", None, None, sentence)
    if parallel.compared and parallel.requirements.gradient_error is not None:
        limit, mode = parallel.requirements.gradient_error, parallel.case.precision
        yield _error(parallel, "in parts", parallel.mode_error, limit, mode, parallel.losses)
    if parallel.like_error is not None:
        yield _like(parallel, parallel.like_error)
    if parallel.unlike is not None:
        sentence = (
            f"the gradient that {parallel.case.strategy} averages is not compared with {parallel.like}: {parallel.unlike}"
        )
        yield new_check(parallel, f"gradient against {parallel.like}", "passed", None, None, sentence)
    if parallel.settling is not None and parallel.settling_alone is not None:
        yield _overflow(parallel, parallel.settling, parallel.settling_alone)
    yield from _of_one_part(parallel)


def slowest_rank(speed: Speed) -> Iterator[Check]:
    """By what it computes, for wall times are equal: all wait for the slowest. On a CPU, which is shared with others, nobody is
    judged by that."""
    if speed.slowest_rank is None or speed.device == "cpu":
        return
    rank, times = speed.slowest_rank
    said, _ = told_apart(times, SLOWER_RANK_TIMES, ".3f")
    sentence = (
        f"others wait for rank {rank}, which computes {said} times as long as the median of ranks; {SLOWER_RANK_TIMES:g} may be"
    )
    yield new_check(speed, "slowest rank", passed(times <= SLOWER_RANK_TIMES), times, SLOWER_RANK_TIMES, sentence)


def _replicas(parallel: Parallel) -> Check:
    """Replicas must equal rank 0's, and shards those of a second training."""
    if all(rank.empty for rank in parallel.ranks):
        return _check(parallel, "replicas", False, NOTHING_COMPARED)
    wrong = _scales(parallel.ranks)
    if parallel.sharded and parallel.repetition is not None and not wrong:
        return _repeated(parallel, "replicas", parallel.repetition)
    if not parallel.sharded:
        first = (parallel.ranks[0],) * len(parallel.ranks)
        wrong = _otherwise(parallel.ranks, first, "rank 0 has", parallel.apart) or wrong
        if parallel.one_batch and not wrong:
            return _check(parallel, "replicas", False, ONE_BATCH)
    good = f"{len(parallel.ranks)} replicas are equal, bit for bit"
    return _check(parallel, "replicas", not wrong, f"after {parallel.steps} steps {sentences(*wrong or [good])}")


def _repeated(parallel: Parallel, metric: str, repetition: Repetition) -> Check:
    """Two trainings from one seed."""
    what = "shards" if parallel.sharded else "replicas"
    if repetition.excuse is not None:
        sentence = f"{what} are not compared with those of a second training: {repetition.excuse}"
        return _check(parallel, metric, True, sentence)
    than = "in a second training from the same seed"
    wrong = _otherwise(repetition.first, repetition.second, than, repetition.apart, buffers=True)
    said = wrong or [f"{len(repetition.first)} {what} are those of a second training, bit for bit"]
    if repetition.by_python:
        said = [*said, "Python launches the second training"]
    if wrong and parallel.case.strategy == OWN_STRATEGY:
        said = [*said, IN_ANY_ORDER]
    return _check(parallel, metric, not wrong, f"after {repetition.steps} steps {sentences(*said)}")


def _otherwise(
    ranks: tuple[RankState, ...], others: tuple[RankState, ...], than: str, apart: tuple[str, ...], *, buffers: bool = False
) -> list[str]:
    """In words; [] where nothing is."""
    pairs = enumerate(zip(ranks, others, strict=True))
    found = [(rank, each.differs(other, buffers=buffers)) for rank, (each, other) in pairs]
    wrong = [f"rank {rank} has {' and '.join(differing)} otherwise than {than}" for rank, differing in found if differing]
    return [*wrong, *([_of_weights(apart)] if apart else [])]


def _of_weights(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"the only weight that differs is {names[0]}"
    return f"the first weight that differs is {names[0]}, and {len(names) - 1} more differ"


def _scales(ranks: tuple[RankState, ...]) -> list[str]:
    """Which rank scales or skips otherwise than rank 0."""
    first = (ranks[0].loss_scale, ranks[0].skipped_steps)
    return [
        f"rank {rank} has a loss scale of {each.loss_scale:g} and {each.skipped_steps} skipped steps, and rank 0 {first[0]:g} "
        f"and {first[1]}"
        for rank, each in enumerate(ranks)
        if (each.loss_scale, each.skipped_steps) != first and each.loss_scale is not None
    ]


def _of_one_part(parallel: Parallel) -> Iterator[Check]:
    """The same where nothing is accumulated."""
    how, limit, one = "in a part for each rank", parallel.requirements.gradient_error, parallel.one_part
    if parallel.one_part_too_large:
        reference = parallel.reference.upper()
        sentence = f"the gradient is not compared with the batch of all {how}: {reference} needs more memory than one GPU has"
        yield _check(parallel, f"gradient in {parallel.case.precision} {how}", True, sentence)
    if one is not None and limit is not None:
        yield _error(parallel, how, one.mode_error, limit, parallel.case.precision, one.losses)
    if one is not None and one.settling is not None and one.settling_alone is not None:
        yield _overflow(parallel, one.settling, one.settling_alone, " in one part")


def _skipped(parallel: Parallel, planted: tuple[RankState, ...]) -> Check:
    wrong = [
        f"rank {rank} {'did not skip it' if after.skipped_steps != before.skipped_steps + 1 else 'did not lower its scale'}"
        for rank, (before, after) in enumerate(zip(parallel.ranks, planted, strict=True))
        if after.skipped_steps != before.skipped_steps + 1 or not _lower(before, after)
    ]
    wrong += [] if wrong else _scales(planted)
    said = sentences(*wrong or ["all ranks skip the step and lower their scale"])
    return _check(parallel, "skipped steps", not wrong, f"where the last rank's loss is infinite {said}")


def _lower(before: RankState, after: RankState) -> bool:
    return before.loss_scale is not None and after.loss_scale is not None and after.loss_scale < before.loss_scale


def _alike(parallel: Parallel) -> Check:
    sent = [f"{c.calls} {c.operation} of {c.bytes:,} bytes in {c.dtype}" for c in parallel.collectives]
    sentence = f"a step calls {', '.join(sent) or 'no collective'}, on all ranks alike"
    if not parallel.alike:
        sentence = "ranks call other collectives in one and the same step, and may wait for each other for ever"
    return _check(parallel, "collectives", parallel.alike, sentence)


def _operations(parallel: Parallel, unlike: tuple[Unlike, ...]) -> Check:
    """One batch on all ranks: what hangs on its numbers is the same."""
    wrong = [
        f"rank {each.rank} does otherwise than rank 0: {explained(differences(expanded(each.on_first), expanded(each.here)))}"
        for each in unlike
    ]
    sentence = f"with one batch {sentences(*wrong or ['all ranks do the same operations'])}"
    return _check(parallel, "operations of ranks", not wrong, sentence)


def _kernels(parallel: Parallel, unlike: tuple[Unlike, ...]) -> Check:
    """Those that cuDNN chooses are not judged, and of parts of weights none is."""
    named = [(each.rank, _differing(each)) for each in unlike]
    wrong = [
        f"the graph of rank {rank} launches other kernels than rank 0's: {listed(names)}" for rank, names in named if names
    ]
    said = sentences(*wrong or ["graphs of all ranks launch the same kernels"])
    if unlike and not wrong:
        said = "graphs of ranks launch the same kernels, but for those that cuDNN chooses"
    own = parallel.case.strategy == OWN_STRATEGY
    if wrong and (own or parallel.sharded):
        said = f"{said}. That is not judged: {OF_ITS_AUTHOR if own else OF_SHARDS}"
        wrong = []
    return _check(parallel, "kernels of ranks", not wrong, said)


def _differing(unlike: Unlike) -> list[str]:
    names = [name for name in dict.fromkeys([*unlike.on_first, *unlike.here]) if not is_chosen(name)]
    return [f"{name} {unlike.on_first.get(name, 0):,} on rank 0, {unlike.here.get(name, 0):,} here" for name in names]


def _reduced(parallel: Parallel, metric: str, step: str, found: int, expected: int) -> Check:
    sentence = f"{step} averages {found:,} elements of gradients, and has {expected:,}"
    if found > expected:
        sentence += f". Those count, too, that a loss gives to {parallel.reduction} itself"
    return _check(parallel, metric, found == expected, sentence, found, expected)


def _overflow(parallel: Parallel, skipped: int, alone: int, how: str = "") -> Check:
    """A mean is no larger than the largest of what it is made of. Where it is not finite though all of these are, the sum was
    not."""
    fits = f"until the loss scale fits the averaged gradient{' of a batch' if how else ''}{how}"
    sentence = f"{skipped} steps are skipped {fits}, {alone} where each rank is alone"
    if skipped > alone:
        sentence += ". Gradients that are finite on each rank overflow as they are averaged"
    return _check(parallel, f"overflow between ranks{how}", skipped <= alone, sentence, skipped, alone)


def _error(parallel: Parallel, how: str, error: float | None, limit: float, mode: str, losses: Losses = None) -> Check:
    figure, most = "not finite, or infinitely far", f"{limit:.3g}"
    if error is not None:
        figure, most = told_apart(error, limit, ".3g", ".3g")
    sentence = (
        f"the gradient that {len(parallel.ranks)} ranks average in {mode} is {figure} from the one that "
        f"{parallel.reference.upper()} computes on one rank. {most} is the most"
        f"{_without_loss(losses) if error is None else ''}. The one rank has the batch of all {how}"
    )
    return _check(parallel, f"gradient in {mode} {how}", error is not None and error <= limit, sentence, error, limit)


def _without_loss(losses: Losses) -> str:
    """Which ranks' loss is not finite, as a sentence; "" where no rank's is, or nobody knows."""
    ranks = [str(rank) for rank, loss in enumerate(losses or ()) if loss is None]
    return f". The loss of rank {' and '.join(ranks)} is not finite" if ranks else ""


def _like(parallel: Parallel, before: float) -> Check:
    """Both average the same in the same mode, by other collectives."""
    error, limit, strategy = parallel.mode_error, LIKE_ERROR_TIMES * before, parallel.case.strategy
    figure, theirs = "not finite", f"{before:.3g}"
    if error is not None:
        figure, theirs = as_judged(lambda e, b: e <= LIKE_ERROR_TIMES * b, (error, ".3g"), (before, ".3g"))
    sentence = (
        f"the gradient that {strategy} averages in {parallel.case.precision} is {figure} from "
        f"{parallel.reference.upper()}, and {theirs} by {parallel.like}. {LIKE_ERROR_TIMES:g} times that is the most"
    )
    return _check(parallel, f"gradient against {parallel.like}", error is not None and error <= limit, sentence, error, limit)


def _check(
    parallel: Parallel, metric: str, reached: bool, sentence: str, value: float | None = None, limit: float | None = None
) -> Check:
    return new_check(parallel, metric, passed(reached), value, limit, sentence)
