"""What it took to compile a step."""

from pydantic import NonNegativeInt

from mpcore.records.base import NonNegativeFloat, Record


class Compilation(Record):
    """Seconds to compile a step. warm: whether compiled code was found in a cache. graph_breaks, recompilations: each with its
    line."""

    seconds: NonNegativeFloat
    warm: bool
    graph_breaks: tuple[str, ...] = ()
    recompilations: tuple[str, ...] = ()
    kernels: NonNegativeInt
