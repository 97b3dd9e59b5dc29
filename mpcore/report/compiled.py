"""What there is to say of a compiled step: how it was compiled, and what that changed of the same step as a graph."""

from collections import Counter
from collections.abc import Iterable, Mapping

from mpcore.errors import sentences
from mpcore.kernels.difference import explain_difference
from mpcore.records import Case, Compiled, Result, Speed, Work
from mpcore.report.text import counted

GRAPH, EAGER = "graph", "eager"


def graphs(results: Iterable[Result]) -> dict[Case, Speed]:
    """Steps that were run as graphs of what is not compiled, by case."""
    speeds = (result.record for result in results if isinstance(result.record, Speed))
    return {speed.case: speed for speed in speeds if speed.case.execution == GRAPH}


def as_graph(speed: Speed, known: Mapping[Case, Speed]) -> Speed | None:
    """The step that `speed` is the compiled one of. None where that was not measured, or nothing was compiled, or its author's
    own code compiles it: that does so as a graph, too."""
    own = speed.case.execution in (GRAPH, EAGER)
    return known.get(speed.case.model_copy(update={"execution": GRAPH})) if speed.compilation and not own else None


def how_compiled(speed: Speed, graph: Speed | None) -> str | None:
    """None where nothing was compiled."""
    if speed.compilation is None:
        return None
    found = speed.compilation
    said = [f"compiled in {found.seconds:.1f} s, {found.warmth}, to {counted(found.graphs, 'graph')}", *_reasons(found)]
    if graph is not None and graph.profile is not None and speed.profile is not None:
        said.append(f"against graph {explain_difference(graph.profile, speed.profile)}")
    return sentences(*said)


def what_was_compiled(work: Work) -> str | None:
    """Where only that was counted. None where nothing was compiled."""
    if work.compiled is None:
        return None
    return sentences(f"compiled to {counted(work.compiled.graphs, 'graph')}", *_reasons(work.compiled))


def _reasons(found: Compiled) -> list[str]:
    breaks, again = (Counter(said) for said in (found.graph_breaks, found.recompilations))
    return [
        *(f"graph broken by {_times(reason, count)}" for reason, count in breaks.items()),
        *(f"compiled again for {_times(reason, count)}" for reason, count in again.items()),
    ]


def _times(reason: str, count: int) -> str:
    return reason if count == 1 else f"{reason}, {count} times"
