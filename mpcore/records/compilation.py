"""What it took to compile a step."""

from pydantic import NonNegativeInt

from mpcore.records.base import NonNegativeFloat, Record


class Compiled(Record):
    """What torch.compile made of a step, counted: its graphs, where it broke one in two, and what it compiled again.
    Each break and each repetition has its reason and its line."""

    graphs: NonNegativeInt
    graph_breaks: tuple[str, ...] = ()
    recompilations: tuple[str, ...] = ()


class Compilation(Compiled):
    """The same with the time that it took.

    warm: whether all compiled code was found in a cache. while_timed: what was compiled again while the step was timed, whose
    time is false then.
    """

    seconds: NonNegativeFloat
    warm: bool
    while_timed: tuple[str, ...] = ()

    @property
    def warmth(self) -> str:
        """In a sentence on its seconds."""
        return "from a cache" if self.warm else "not from a cache"

    @property
    def counts(self) -> Compiled:
        return Compiled(graphs=self.graphs, graph_breaks=self.graph_breaks, recompilations=self.recompilations)
