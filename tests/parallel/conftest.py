"""Faults are planted once, or as often as asked: pytest tests/parallel/test_launch.py --times 20."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--times", type=int, default=1, metavar="N", help="how often each fault is planted (default: 1)")


def pytest_generate_tests(metafunc):
    if "nth" in metafunc.fixturenames:  # where this file is found late, there is no option yet
        metafunc.parametrize("nth", range(metafunc.config.getoption("times", 1)))


@pytest.fixture
def nth(request):
    """Which time it is."""
    return request.param
