"""What is raised inside a check of somebody's code becomes a sentence."""

import traceback

import pytest

from mpcore.errors import cause, reraised_as


def test_an_iterator_that_ends_is_no_exception_to_it():
    """contextlib lets a StopIteration through which a RuntimeError has for its cause."""

    class Failed(RuntimeError):
        pass

    with pytest.raises(Failed, match=r"^the step failed: StopIteration"), reraised_as(Failed, "the step"):
        next(iter(()))


def failed(error):
    try:
        raise error
    except Exception as raised:
        return raised


def test_the_line_that_torch_could_not_compile_is_named_in_place_of_the_call():
    def broken():
        return traceback.extract_stack()

    error = failed(RuntimeError("when making fake tensor call\n  Explanation: no fake impl\n  Hint: none"))
    assert cause(error).startswith("when making fake tensor call: no fake impl (test_errors.py, line ")
    error.real_stack = broken()
    assert cause(error).endswith(": return traceback.extract_stack())")


def test_a_first_line_that_only_announces_goes_on():
    error = failed(RuntimeError("backend='inductor' raised:\nRuntimeError: an invalid gradient\n\nSet VERBOSE"))
    assert cause(error).startswith("backend='inductor' raised: RuntimeError: an invalid gradient (test_errors.py, line ")
