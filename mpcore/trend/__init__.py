"""Figures of many runs, and where they changed: a folder of small files, one a run, that outlives the machines that made them.
Without torch."""

from mpcore.trend.figures import figures_of
from mpcore.trend.remote import Place, places
from mpcore.trend.series import Change, Series, changes, series_of
from mpcore.trend.store import append, read_figures

__all__ = ["Change", "Place", "Series", "append", "changes", "figures_of", "places", "read_figures", "series_of"]
