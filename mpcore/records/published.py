"""Figures of papers and articles."""

from mpcore.records.base import Number, PositiveFloat, Record


class Published(Record):
    """A figure of a paper or an article. speedup: how many times as fast as `over`. per_second: of what the workload counts.
    Never judged by: other hardware, other software, and often another recipe."""

    source: str
    workload: str
    setting: str
    hardware: str
    precision: str
    train_seconds: PositiveFloat | None = None
    evaluation_seconds: PositiveFloat | None = None
    per_second: PositiveFloat | None = None
    speedup: PositiveFloat | None = None
    over: str | None = None
    memory_gb: PositiveFloat | None = None
    metrics: dict[str, Number] = {}
    note: str = ""
