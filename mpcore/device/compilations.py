"""What torch.compile does while a step runs: how long it takes, where it breaks the graph, what it compiles again.

torch keeps a record of every frame that it compiles, and of every break, whether or not anybody reads them: nothing is traced
for it.
"""

import re
from collections.abc import Sequence
from types import TracebackType

from torch._dynamo import utils as dynamo  # private API
from torch._dynamo.utils import CompilationMetrics  # private API

from mpcore.errors import source_line
from mpcore.records import Compilation

MOST_FRAMES = 10_000
"""That torch keeps records of."""
ENTRY = re.compile(r"^\d+/\d+: ")
"""Before a reason, which of the compiled codes did not fit."""

RESUMED = re.compile(r"^torch_dynamo_resume_in_(.+)_at_\d+$")
"""The name of what follows a break in a function."""


class Compilations:
    """with Compilations() as compilations: step(batch)
    compilations.seen

    One at a time: what torch knows of earlier ones is forgotten.
    """

    seen = Compilation(seconds=0.0, warm=False, graphs=0)
    """What was compiled within it."""
    reasons: Sequence[str] = ()
    """Why anything was."""

    def __enter__(self) -> "Compilations":
        dynamo.set_compilation_metrics_limit(MOST_FRAMES)
        dynamo.clear_compilation_metrics()
        dynamo.graph_break_reasons.clear()
        self._before = _counters()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        frames = dynamo.get_compilation_metrics()
        if not frames:
            return
        graphs, hits, misses = (after - before for after, before in zip(_counters(), self._before, strict=True))
        self.seen = Compilation(
            seconds=sum(frame.duration_us or 0 for frame in frames) / 1e6,
            warm=hits > 0 and not misses,
            graphs=graphs,
            graph_breaks=tuple(_first_line(r.reason) + source_line(r.user_stack) for r in dynamo.graph_break_reasons),
            recompilations=tuple(_recompilation(frame) for frame in frames if frame.recompile_reason),
        )
        self.reasons = self.seen.recompilations or ["code that had not been called before"]

    def found(self, *, asked: bool) -> Compilation | None:
        """None where nothing was compiled that nobody asked for. A step of somebody's own may compile its model by itself."""
        return self.seen if asked or self.seen.graphs else None


def last_recompilation() -> str:
    """Why, and in which function; "" where nothing was compiled again. Of one that failed, torch does not know the function."""
    again = [frame for frame in dynamo.get_compilation_metrics() if frame.recompile_reason and frame.co_filename]
    return _recompilation(again[-1]) if again else ""


def _counters() -> tuple[int, int, int]:
    """Graphs, those whose code was found in the cache, and those whose code was not, or could not be."""
    found = dynamo.counters["inductor"]
    misses = found["fxgraph_cache_miss"] + found["fxgraph_cache_bypass"]
    return dynamo.counters["stats"]["unique_graphs"], found["fxgraph_cache_hit"], misses


def _recompilation(frame: CompilationMetrics) -> str:
    """Why, and in which function."""
    reason = ENTRY.sub("", _first_line(frame.recompile_reason or ""))
    file = (frame.co_filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    function = RESUMED.sub(r"\1", frame.co_name or "")
    return f"{reason} ({file}, line {frame.co_firstlineno}: {function})"


def _first_line(text: str) -> str:
    """Without the place in compiled code that follows, and what pads it."""
    return " ".join(text.strip().splitlines()[0].partition("  #")[0].split())
