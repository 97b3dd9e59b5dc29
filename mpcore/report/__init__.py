"""Reports. All of them draw from one frame, so that they cannot disagree."""

import tabulate

tabulate.MIN_PADDING = 0
"""Headings as wide as they are: a table of all figures fits a terminal of 100 columns. It is a setting of the process, and made
wherever a table is."""
