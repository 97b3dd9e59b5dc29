"""No structured traces of torch in pytest's logs. torch composes them for whoever listens, at any level, and pytest listens to
every logger that hands nothing on. To compile would take longer, and hundreds of lines would hide a failure."""

import logging
from collections.abc import Iterator

import pytest

LOGGER = "torch.__trace"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup() -> Iterator[None]:
    _stop_listening()
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call() -> Iterator[None]:
    _stop_listening()
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown() -> Iterator[None]:
    _stop_listening()
    return (yield)


def _stop_listening() -> None:
    """Within pytest's own wrapper, which has begun to. A handler of anybody else stays, as of TORCH_TRACE."""
    logger = logging.root.manager.loggerDict.get(LOGGER)  # made by torch, once it is imported
    if isinstance(logger, logging.Logger):
        for handler in [handler for handler in logger.handlers if type(handler).__module__.startswith("_pytest.")]:
            logger.removeHandler(handler)
