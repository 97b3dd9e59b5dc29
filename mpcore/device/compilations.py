"""What torch.compile does while a step runs: how long it takes, where it breaks the graph, what it compiles again.

torch keeps a record of every frame that it compiles, and of every break, whether or not anybody reads them: nothing is traced
for it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from mpcore.errors import source_line
from mpcore.records import Compilation

if TYPE_CHECKING:
    from torch._dynamo.utils import CompilationMetrics  # private API

MOST_FRAMES = 10_000
"""That torch keeps records of."""
ENTRY = re.compile(r"^\d+/\d+: ")
"""Before a reason, which of the compiled codes did not fit."""

ADDRESS = re.compile(r"\b\d{12,}\b")
"""Of an object, in a guard: another one in each process."""
RESUMED = re.compile(r"^torch_dynamo_resume_in_(.+)_at_\d+$")
"""The name of what follows a break in a function."""


def _records() -> ModuleType:
    """Of what is compiled. To load them takes a second, and who only lists cases needs none."""
    from torch._dynamo import utils  # private API

    return utils


class Compilations:
    """with Compilations() as compilations: step(batch)
    compilations.seen

    One at a time: what torch knows of earlier ones is forgotten.
    """

    seen = Compilation(seconds=0.0, warm=False, graphs=0)
    """What was compiled within it."""
    unasked: Compilation | None = None
    """What was compiled up to `note_unasked`; None where nothing was."""
    reasons: Sequence[str] = ()
    """Why anything was."""

    def __enter__(self) -> "Compilations":
        _records().set_compilation_metrics_limit(MOST_FRAMES)
        _records().clear_compilation_metrics()
        _records().graph_break_reasons.clear()
        self._before = _counters()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seen = self._so_far()
        if _records().get_compilation_metrics():
            self.reasons = self.seen.recompilations or ["code that had not been called before"]

    def note_unasked(self) -> None:
        """To be called after the first call of a step that nobody asked to compile, whose author may. What comes of later calls
        hangs on how many there are, and on what they are made with."""
        found = self._so_far()
        self.unasked = found if found.graphs else None

    def _so_far(self) -> Compilation:
        frames = _records().get_compilation_metrics()
        if not frames:
            return Compilations.seen
        graphs, hits, misses = (after - before for after, before in zip(_counters(), self._before, strict=True))
        return Compilation(
            seconds=sum(frame.duration_us or 0 for frame in frames) / 1e6,
            warm=hits > 0 and not misses,
            graphs=graphs,
            graph_breaks=tuple(_graph_breaks(frames)),
            recompilations=tuple(_recompilation(frame) for frame in frames if frame.recompile_reason),
        )

    def found(self, *, asked: bool) -> Compilation | None:
        """What was compiled; of a step that nobody asked to compile, None where nothing was."""
        return self.seen if asked else self.unasked


def last_recompilation() -> str:
    """Why, and in which function; "" where nothing was compiled again. Of one that failed torch tells no function: that is the
    one of the same number, in what it calls `2/31`, that did not fail."""
    frames = _records().get_compilation_metrics()
    again = [frame for frame in frames if frame.recompile_reason]
    known = [frame for frame in frames if frame.co_filename and again and _number(frame) == _number(again[-1])]
    if not known:
        return ""
    return _recompilation(replace(known[-1], recompile_reason=again[-1].recompile_reason))


def _number(frame: "CompilationMetrics") -> str:
    return str(frame.compile_id).partition("/")[0]


def _counters() -> tuple[int, int, int]:
    """Graphs, those whose code was found in the cache, and those whose code was not, or could not be."""
    found = _records().counters["inductor"]
    misses = found["fxgraph_cache_miss"] + found["fxgraph_cache_bypass"]
    return _records().counters["stats"]["unique_graphs"], found["fxgraph_cache_hit"], misses


def _recompilation(frame: "CompilationMetrics") -> str:
    """Why, and in which function."""
    return ADDRESS.sub("...", ENTRY.sub("", _first_line(frame.recompile_reason or ""))) + _function(frame)


def _graph_breaks(frames: Sequence["CompilationMetrics"]) -> Iterator[str]:
    """Why, and at which line. Then for what other reasons torch compiles nothing of a function, as where one breaks in a loop,
    and which it is."""
    broken = _records().graph_break_reasons
    yield from (_first_line(found.reason) + source_line(found.user_stack) for found in broken)
    known = {"", *(_first_line(found.reason) for found in broken)}
    for frame in frames:
        if (reason := _first_line(frame.fail_reason or "")) not in known:
            yield reason + _function(frame)


def _function(frame: "CompilationMetrics") -> str:
    """In parentheses."""
    file = (frame.co_filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    name = RESUMED.sub(r"\1", frame.co_name or "")
    return f" ({file}, line {frame.co_firstlineno}: {name})"


def _first_line(text: str) -> str:
    """Without the place in compiled code that follows, and what pads it."""
    return " ".join(text.strip().partition("\n")[0].partition("  #")[0].split())
