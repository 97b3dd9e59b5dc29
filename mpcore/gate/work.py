"""What a step does, against what it did: counts repeat, so that any difference is one, and is named."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpcore.errors import sentences
from mpcore.gate.judgement import judgement_of
from mpcore.gate.limits import LEAST_AGREEING_RUNS
from mpcore.gate.matching import differing
from mpcore.gate.operations import Difference, differences, explained, is_cast, is_product, listed
from mpcore.kernels.classify import classify
from mpcore.records import Regression, RegressionStatus, Work

CHOSEN = ("convolution", "layout change")
COMPANIONS = re.compile(r"fft|_complex|init_device_workspace|ReduceSplitK")
"""Families of kernels that cuDNN chooses anew in each process, and kernels that come with them, whose short names tell none."""
LINE = re.compile(r", line \d+")
"""Of a synchronisation: the same one on another line is no new one."""


class Step(NamedTuple):
    """What it did and does, and the operations that differ. there: what the first is called."""

    before: Work
    after: Work
    changed: Sequence[Difference]
    there: str


class Figure(NamedTuple):
    """One for which less is better. sentence: with braces for its value. unit: of the value, in the singular. why: what
    explains a difference."""

    metric: str
    sentence: str
    unit: str
    of: Callable[[Work], int]
    why: Callable[[Step], str]


def work_regressions(before: Work, after: Work, accepted: Sequence[Work] = ()) -> list[Regression]:
    """One for each figure, or a single `incomparable` where software, batch or device is another.

    accepted: all accepted runs, oldest first; `before` is the last. Without them it is what base does.
    """
    step = Step(before, after, differences(before.counts, after.counts), "the last accepted run" if accepted else "base")
    if before.terms != after.terms:
        return [_incomparable(step)]
    return [*_figures(step), *_launches(step, accepted), _operations(step)]


def shown(before: Work, after: Work) -> str:
    """The figures that other software has changed, which are not judged; "" where none is, or more than software differs."""
    if _measured_on(before) != _measured_on(after):
        return ""
    values = [(figure.metric, figure.of(before), figure.of(after)) for figure in FIGURES]
    return listed([f"{metric} {old:,} -> {new:,}" for metric, old, new in values if old != new])


def _measured_on(work: Work) -> dict[str, object]:
    """Its terms without the software."""
    return {name: value for name, value in work.terms.items() if name not in work.software}


def _figures(step: Step) -> list[Regression]:
    """What explains one is not said again of the next."""
    found = []
    told: set[tuple[RegressionStatus, str]] = set()
    for figure in [*FIGURES, *_of_compiling(step)]:
        old, new = figure.of(step.before), figure.of(step.after)
        status, why = _less_is_better(old, new), figure.why(step) if old != new else ""
        if figure is GRAPHS and old and not new:
            status, why = "worse", "it runs as it is, and is compiled no more"
        said = "" if (status, why) in told else why
        told.add((status, why))
        found.append(_regression(step, figure.metric, status, (old, new), figure.sentence, figure.unit, said))
    return found


def _of_compiling(step: Step) -> Sequence[Figure]:
    """What is not compiled at all breaks no graph and compiles nothing again, which is no praise."""
    if not step.before.compiled:
        return []
    return COMPILED if _graphs(step.after) else [GRAPHS]


def _launches(step: Step, accepted: Sequence[Work]) -> list[Regression]:
    """Kernel by kernel. None on a CPU."""
    old, new = step.before.kernels, step.after.kernels
    if old is None or new is None:
        return []
    counts = {name: (old.get(name, 0), new.get(name, 0)) for name in sorted(old | new)}
    differing = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
    judged = {name: pair for name, pair in differing.items() if _repeats(name, *pair, accepted)}
    more = sum(after - before for before, after in judged.values())
    status: RegressionStatus = "changed" if judged and not more else _less_is_better(0, more)
    largest = sorted(judged.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    said = listed([f"{name} {before:,} -> {after:,}" for name, (before, after) in largest])
    if chosen := len(differing) - len(judged):
        said = sentences(said, f"kernels that cuDNN chooses differ, which is not judged ({chosen:,})")
    return [_regression(step, "launches", status, (sum(old.values()), sum(new.values())), "launches {}", "kernel", said)]


def is_chosen(name: str) -> bool:
    """Whether cuDNN may choose another kernel in the next process."""
    return classify(name)[0] in CHOSEN or COMPANIONS.search(name) is not None


def _repeats(name: str, before: int, after: int, accepted: Sequence[Work]) -> bool:
    """Whether a difference in a kernel says anything. Of one that is chosen anew, it does where accepted runs agree on it and
    none had what is there now."""
    if not is_chosen(name):
        return True
    counts = [work.kernels.get(name, 0) for work in accepted if work.kernels is not None]
    return counts.count(before) >= LEAST_AGREEING_RUNS and after not in counts


def _operations(step: Step) -> Regression:
    """In no direction that is better or worse."""
    status: RegressionStatus = "changed" if step.changed else "same"
    counts = step.before.counts.total(), step.after.counts.total()
    return _regression(step, "operations", status, counts, "has {}", "operation", explained(step.changed))


def _incomparable(step: Step) -> Regression:
    other = differing(step.before.terms, step.after.terms)
    said = sentences(f"is not judged against {step.there}, which counted otherwise ({other})", shown(*step[:2]))
    sentence = f"{_name(step)} {said}"
    return Regression(status="incomparable", **judgement_of(step.after, step.after.kind, None, None, sentence))


def _regression(
    step: Step, metric: str, status: RegressionStatus, values: tuple[int, int], sentence: str, unit: str, why: str
) -> Regression:
    before, after = values
    alike = "as" if status == "same" else "as many as"
    than = f"{alike} in {step.there}" if before == after else f"{before:,} in {step.there}"
    said = f"{_name(step)} {sentence.format(_counted(after, unit))}, {than}"
    fields = judgement_of(step.after, metric, after, before, f"{said}: {why}" if why else said)
    return Regression(status=status, ratio=after / before if before else None, **fields)


def _name(step: Step) -> str:
    return f"a step of {step.after.case.precision}"


def _less_is_better(before: int, after: int) -> RegressionStatus:
    return "worse" if after > before else "better" if after < before else "same"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _in_fp32(difference: Difference) -> bool:
    return is_product(difference) and "float32" in difference.dtypes


def _graphs(work: Work) -> int:
    return work.compiled.graphs if work.compiled else 0


def _breaks(work: Work) -> Sequence[str]:
    return work.compiled.graph_breaks if work.compiled else ()


def _again(work: Work) -> Sequence[str]:
    return work.compiled.recompilations if work.compiled else ()


def _other(said: Callable[[Work], Sequence[str]]) -> Callable[[Step], str]:
    """Names those that are more or fewer now. One that has moved to another line is the same."""

    def why(step: Step) -> str:
        before, after = said(step.before), said(step.after)
        old, new = (Counter(LINE.sub("", each) for each in of) for of in (before, after))
        lines = {LINE.sub("", each): each for each in (*before, *after)}
        return listed([f"{line} {old[each]} -> {new[each]}" for each, line in lines.items() if old[each] != new[each]])

    return why


def _state(step: Step) -> str:
    fields = ("parameter_bytes", "gradient_bytes", "optimiser_bytes")
    values = {name.replace("_", " "): (getattr(step.before, name), getattr(step.after, name)) for name in fields}
    return listed([f"{name} {old:,} -> {new:,}" for name, (old, new) in values.items() if old != new])


FIGURES = (  # what is read first comes first
    Figure(
        "synchronisations",
        "has {}",
        "synchronisation",
        lambda work: len(work.synchronisations),
        _other(lambda work: work.synchronisations),
    ),
    Figure(
        "FP32 FLOPs",
        "computes {} in FP32",
        "FLOP",
        lambda work: work.flops_by_dtype.get("float32", 0),
        lambda step: explained(step.changed, _in_fp32),
    ),
    Figure(
        "FLOPs",
        "computes {}",
        "FLOP",
        lambda work: sum(work.flops_by_dtype.values()),
        lambda step: explained(step.changed, is_product),
    ),
    Figure("casts", "has {}", "cast", lambda work: work.casts, lambda step: explained(step.changed, is_cast)),
    Figure(
        "cast bytes", "moves {} in casts", "byte", lambda work: work.cast_bytes, lambda step: explained(step.changed, is_cast)
    ),
    Figure(
        "saved bytes",
        "keeps {} for its backward pass",
        "byte",
        lambda work: work.saved_bytes,
        lambda step: explained(step.changed),
    ),
    Figure("state bytes", "has {} of weights, gradients and optimiser", "byte", lambda work: work.state_bytes, _state),
)
GRAPHS = Figure("graphs", "is compiled to {}", "graph", _graphs, lambda step: "")
COMPILED = (  # of what torch.compile was given, which a break explains first
    Figure("graph breaks", "has {}", "graph break", lambda work: len(_breaks(work)), _other(_breaks)),
    Figure("recompilations", "has {}", "recompilation", lambda work: len(_again(work)), _other(_again)),
    GRAPHS,
)
