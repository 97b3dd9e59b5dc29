"""One case in, one record out: `Bench` measures on one device, and judges nothing."""

from mpcore.measure.bench import Bench
from mpcore.measure.cost import Counter
from mpcore.measure.errors import CASE_ERRORS, CaseFailed, TooLarge, failure_of, one_sentence

__all__ = ["CASE_ERRORS", "Bench", "CaseFailed", "Counter", "TooLarge", "failure_of", "one_sentence"]
