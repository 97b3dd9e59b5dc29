"""Figures of many runs, and where they changed: a folder of small files, one a run, that outlives the machines that made them.
Without torch."""

from mpcore.trend.figures import figures_of
from mpcore.trend.series import Change, Series, changes, series_of
from mpcore.trend.store import append, read_figures

__all__ = ["Change", "Series", "append", "changes", "figures_of", "read_figures", "series_of"]
