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


def looked_up(error):
    """What somebody's own code makes of a missing key."""
    try:
        {}["width"]
    except KeyError as missing:
        raise error from missing


def cleaned_up():
    try:
        raise ValueError("the step")
    finally:
        {}["width"]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            lambda: looked_up(ValueError("the model has no width")),
            "the model has no width: KeyError: 'width' (test_errors.py, ",
        ),
        (lambda: looked_up(ValueError("no 'width': KeyError: 'width'")), "no 'width': KeyError: 'width' (test_errors.py, "),
        (lambda: looked_up(ValueError("no 'width'")), "no 'width' (test_errors.py, "),
        (lambda: looked_up(OSError("lost: 'width'")), "OSError: lost: 'width' (test_errors.py, "),
        (lambda: looked_up(ValueError("at 'width' it ends")), "at 'width' it ends: KeyError: 'width' (test_errors.py, "),
        (lambda: looked_up(ValueError()), "KeyError: 'width' (test_errors.py, "),
        (cleaned_up, "KeyError: 'width': the step (test_errors.py, "),
    ],
)
def test_what_an_author_makes_of_an_error_is_said_before_it(does, said):
    class Failed(RuntimeError):
        pass

    with pytest.raises(Failed) as failed, reraised_as(Failed, "build_model()"):
        does()
    assert str(failed.value).startswith(f"build_model() failed: {said}")


def test_what_a_library_makes_of_an_error_is_not(monkeypatch):
    monkeypatch.setattr("mpcore.errors._of_library", lambda file: file.name == "test_errors.py")
    with pytest.raises(ValueError, match="no width") as failed:
        looked_up(ValueError("the model has no width"))
    assert cause(failed.value) == "KeyError: 'width'"
