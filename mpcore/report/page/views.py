"""What a plot is made of, before anything is drawn. Columns of numbers, which are shown as a table too, and Plotly traces that
name them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class View:
    """One plot and its table. In a trace "@name" stands for a column. `where` picks the rows in which a column has a value, and
    `bounds` names the columns of an interval around y."""

    label: str
    columns: Columns
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Matrix:
    """Counts: rows are the true classes, columns the predicted ones."""

    label: str
    matrix: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Panel:
    """Views, one at a time. note: how to read them."""

    name: str
    title: str
    note: str
    views: Sequence[View | Matrix]

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [_figure(row.get(name)) for row in rows] for name in names}


def by(name: str, rows: Columns, **trace: Any) -> list[dict[str, Any]]:
    """A trace for each value of a column, which it is named after."""
    return [{"name": str(value), "where": [name, value], **trace} for value in dict.fromkeys(rows[name])]


def _figure(value: Any) -> Any:
    """Six digits: what a plot and a reader can use."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
