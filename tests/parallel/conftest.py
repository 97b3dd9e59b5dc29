"""Faults are planted once, or as often as asked: pytest tests/parallel/test_launch.py --times 20."""

import pytest


def pytest_generate_tests(metafunc):
    if "nth" in metafunc.fixturenames:
        metafunc.parametrize("nth", range(metafunc.config.getoption("times")))


@pytest.fixture
def nth(request):
    """Which time it is."""
    return request.param
