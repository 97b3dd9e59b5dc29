"""No progress bars of libraries, which would write into pytest's lines."""

import contextlib
import importlib.util
from collections.abc import Iterator


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Within it."""
    libraries = ("datasets", "transformers")
    if not all(importlib.util.find_spec(name) for name in libraries):  # which only the workloads that come along need
        yield
        return
    import datasets
    from transformers.utils import logging as transformers_logging

    shown = not datasets.are_progress_bars_disabled(), transformers_logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown[0]:
            datasets.enable_progress_bars()
        if shown[1]:
            transformers_logging.enable_progress_bar()
