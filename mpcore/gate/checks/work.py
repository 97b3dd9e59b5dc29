"""What a step does must be what it was asked to: one that is to be compiled is."""

from mpcore.gate.checks.check import new_check, passed
from mpcore.records import Check, Work

NOT_COMPILED = "nothing of {} was compiled: expected a model that torch.compile makes a graph of"


def work_checks(work: Work) -> list[Check]:
    """None for a step of which nothing is compiled, and that no compiler is asked for."""
    if work.compiled is None:
        return []
    graphs, mode = work.compiled.graphs, work.case.precision
    sentence = f"{mode} is compiled to {graphs:,} graph{'' if graphs == 1 else 's'}" if graphs else NOT_COMPILED.format(mode)
    return [new_check(work, "compilation", passed(graphs > 0), float(graphs), 1.0, sentence)]
