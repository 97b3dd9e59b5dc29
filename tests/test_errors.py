"""What is raised inside a check of somebody's code becomes a sentence."""

import pytest

from mpcore.errors import reraised_as


def test_an_iterator_that_ends_is_no_exception_to_it():
    """contextlib lets a StopIteration through which a RuntimeError has for its cause."""

    class Failed(RuntimeError):
        pass

    with pytest.raises(Failed, match=r"^the step failed: StopIteration"), reraised_as(Failed, "the step"):
        next(iter(()))
