"""Saved runs as one interactive page, which needs no network and no other file."""

from mpcore.report.page.contents import page

__all__ = ["page"]
