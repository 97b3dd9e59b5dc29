"""The figures that are compared: where a row has them, in which unit, and how they are written."""

import math
from dataclasses import dataclass

from mpcore.gate.limits import COMPILE_TIME_MARGIN_PERCENT


@dataclass(frozen=True)
class Figure:
    """unit: with the names of other columns where it depends on the row. form: of a value; None for so many `digits` that
    count. listed: the change from which on it is worth a line, 0 for any. It is in points where a score is a percentage, and
    in per cent else. ranged: whether it is a range of several runs, and not their median. ordinary: a value that is not worth a
    row where all have it; any that all have where it is None."""

    name: str
    column: str
    unit: str
    form: str | None = None
    digits: int = 5
    listed: float = 0.1
    ranged: bool = False
    ordinary: float | None = None

    @property
    def title(self) -> str:
        return f"{self.name[0].upper()}{self.name[1:]}"

    def text(self, value: float) -> str:
        if math.isinf(value):
            return "not finite"
        return self.form.format(value) if self.form else _digits(value, self.digits)


STEP = Figure("step time", "step_ms", "ms")
SCORE = Figure("score", "score", "{metric}", "{:.2f}", listed=0.01)
THROUGHPUT = Figure("throughput", "per_second", "{unit}/s", digits=4)
OVER = {mode: Figure(f"speed-up over {mode}", f"over_{mode}", "times", "{:.2f}") for mode in ("fp32", "tf32")}
MEMORY = Figure("memory", "peak_gib", "GiB", "{:.3f}")
EAGER = Figure("eager time", "eager_ms", "ms", "{:.1f}", listed=85.0, ranged=True)
"""Of several runs it is the range: one machine start has been seen to take 85 % longer than another."""
COMPILE = Figure("compile time", "compile_s", "s, {warmth}", "{:.1f}", listed=COMPILE_TIME_MARGIN_PERCENT)
COMPILED = (
    Figure("compiled graphs", "graphs", "a step", "{:,.0f}", listed=0.0, ranged=True),
    Figure("graph breaks", "graph_breaks", "a step", "{:,.0f}", listed=0.0, ranged=True, ordinary=0.0),
    Figure("recompilations", "recompilations", "a step", "{:,.0f}", listed=0.0, ranged=True, ordinary=0.0),
)
"""What torch.compile made of a step."""
PARITY = Figure("speed against other trainers", "ratio", "times as fast as {against}", "{:.2f}")

ACROSS = (
    *(THROUGHPUT, *OVER.values(), EAGER, COMPILE, *COMPILED, MEMORY, SCORE),
    Figure("share of the ceiling", "ceiling_pct", "%", "{:.0f}"),
    PARITY,
)
"""What says something from one hardware to another."""
CHANGES = (
    STEP,
    EAGER,
    COMPILE,
    *COMPILED,
    MEMORY,
    Figure("graph memory", "pool_gib", "GiB", "{:.3f}"),
    Figure("casts", "casts", "a step", "{:,.0f}", listed=0.0),
    Figure("launches", "launches", "a step", "{:,.0f}", listed=0.0),
    Figure("saved for the backward pass", "saved_gib", "GiB", digits=7, listed=0.0),
    SCORE,
    Figure("gradient error", "gradient_error", "of the gradient in FP64", "{:.2e}"),
    Figure("update error", "update_error", "of 20 updates in FP64", "{:.2e}"),
)
"""What may change from run to run."""
FIGURES = tuple(dict.fromkeys((*CHANGES, *ACROSS)))


def _digits(value: float, count: int) -> str:
    """So many digits that count, all those before the point, and no exponent."""
    before = math.floor(math.log10(abs(value))) + 1 if value else 1
    return f"{value:,.{max(0, count - max(before, 1))}f}"
