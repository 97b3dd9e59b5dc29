"""What a mode says where it cannot be used."""

from mpcore.errors import Sentence


class PrecisionError(Sentence):
    """A mode whose methods fail: one sentence that names the mode and the method."""


class Inapplicable(ValueError):
    """A mode that has nothing to do in a model, or no way to train it: one sentence."""
