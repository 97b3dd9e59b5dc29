"""One figure of one case on one hardware: a line of a CSV file, and what the tables across hardware are made of."""

from dataclasses import dataclass

Place = tuple[str, ...]
Software = tuple[tuple[str, str], ...]
"""Names with versions."""


@dataclass(frozen=True)
class Line:
    """batch: samples of a batch. value: None where it was measured and is no finite number. setting: what else it depends on,
    which is the version of the workload, how much is trained on, and from which weights. source: its file, or how many runs
    it is the median of; of what was published who says so, of what. highest: of the range of several runs, whose lowest is
    the value. software: what computed it, by name, with its version, or those of several runs."""

    workload: str
    size: str
    execution: str
    batch: str
    precision: str
    hardware: str
    figure: str
    unit: str
    value: float | None
    published: bool
    setting: str
    source: str
    highest: float | None = None
    software: Software = ()

    @property
    def case(self) -> Place:
        """All but the mode of what has to be the same for two figures to stand in one row."""
        return self.workload, self.size, self.execution, self.batch, self.setting, self.unit


def versions(software: Software) -> str:
    """In words: "torch 2.11.0, driver 580.159.04"."""
    return ", ".join(map(" ".join, software))
