"""What fails by a hair reads so: no value is printed like its limit."""

import math

import made
import pytest

from mpcore.gate import checks
from mpcore.gate.digits import as_judged, error_since, told_apart
from mpcore.gate.intervals import Interval
from mpcore.gate.regressions import bounds
from mpcore.records import Requirements


@pytest.mark.parametrize(
    ("value", "limit", "form", "limit_form", "said"),
    [
        (1.0399, 1.04, ".3g", "g", ["1.0399", "1.04"]),
        (1.05, 1.04, ".3g", "g", ["1.05", "1.04"]),
        (1.04, 1.04, ".3g", "g", ["1.04", "1.04"]),
        (0.01284, 0.0128, ".3g", ".2g", ["0.01284", "0.0128"]),
        (-0.5004, -0.5, "+.2f", "g", ["-0.5004", "-0.5"]),
        (0.0123456, 0.0123456, ".3g", ".2g", ["0.0123", "0.012"]),
        (math.inf, 1.0, ".3g", "g", ["inf", "1"]),
    ],
)
def test_a_value_has_as_many_digits_as_tell_it_from_its_limit(value, limit, form, limit_form, said):
    assert told_apart(value, limit, form, limit_form) == said


def test_what_is_printed_is_judged_as_the_values_are():
    def fell(before, after):
        return after < 0.98 * before

    assert as_judged(fell, (0.7, ".3g"), (0.6, ".3g")) == ["0.7", "0.6"]
    assert as_judged(fell, (0.7, ".3g"), (0.6859, ".3g")) == ["0.7", "0.6859"]


def test_an_error_that_grew_by_more_than_its_factor_is_printed_as_more():
    assert error_since(0.01, 0.02004, 2.0) == ("0.02004", "0.01")
    assert error_since(0.01, None, 2.0) == ("not finite", "0.01")


def test_bounds_of_a_change_lie_on_their_side_of_the_margin():
    margin = math.log1p(0.02)
    assert "between +2.01 % and" in bounds(Interval(math.log1p(0.0201), 0.05, 0.1), margin)
    assert "and +2.01 % (" in bounds(Interval(0.0, 0.01, math.log1p(0.0201)), margin)
    assert "between -100.0 % and" in bounds(Interval(-20.0, -10.0, -9.0), margin)


RACED = made.parity(theirs=(1.0399, 1.1439, 0.9359), ours=(0.5, 0.55, 0.45), at_least=1.04)
TIMED = made.speed(fp32=(1.9998, 2.19978, 1.79982), requirements=Requirements(must_beat=("fp32",)))
COMPARED = made.numerics(gradient_error=0.020004, requirements=Requirements(gradient_error=0.02))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (RACED, "is 1.0399 times as fast as Fabric 2.6.1 (99 % interval 1.0398 to 1.03996). A GPU must reach 1.04"),
        (TIMED, "is 0.9999 times as fast as fp32 (99 % interval 0.9999 to 0.9999)"),
        (COMPARED, "is 0.020004, at most 0.02 may be"),
    ],
)
def test_a_sentence_of_what_fails_by_a_hair_says_so(record, said):
    (failed,) = [check for check in checks(record) if check.status == "failed"]
    assert said in failed.sentence
